"""What Meta tells about messages, and what people write back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from broker.channels.words import objects_at, texts_in
from broker.domain.whatsapp_ids import number_of
from broker.sdk import BadInputError, CallbackRead, Inbound, Receipt, ReceiptState, values_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPTED_OUT = 131050
"""The recipient wants no marketing messages of this business. Meta says so in the answer to a
message, or after it in a receipt."""
_STATES = {state.value: state for state in ReceiptState}
_MEDIA = ("audio", "contacts", "document", "image", "location", "sticker", "video")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "text": ("text.body",),
    "button": ("button.text",),
    "interactive": ("interactive.button_reply.title", "interactive.list_reply.title"),
    **{kind: (f"{kind}.caption",) for kind in _MEDIA},
}
"""Kind of an answer -> where its words may be. A picture without any is an answer all the same;
reactions, and what WhatsApp itself tells, are none."""
_REFERENCE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{5,15}", re.ASCII)


def told(body: bytes, phone_number_id: str) -> CallbackRead:
    """Receipts and answers of this number: one address gets those of all the account's numbers.

    BadInputError: it is no JSON.
    """
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadInputError("the callback is no JSON") from None
    values = [
        value
        for value in objects_at(whole, "entry[*].changes[*].value")
        if values_at(value, "metadata.phone_number_id") == [phone_number_id]
    ]
    return CallbackRead(
        tuple(receipt for value in values for receipt in _receipts(value)),
        tuple(answer for value in values for answer in _answers(value)),
    )


def _receipts(value: Mapping[str, Any]) -> Iterator[Receipt]:
    for status in objects_at(value, "statuses[*]"):
        state = _STATES.get(str(status.get("status")))
        if state is None:
            continue
        references = texts_in([status.get("biz_opaque_callback_data")])
        codes = [code for code in values_at(status, "errors[0].code") if type(code) is int]
        opted_out = state is ReceiptState.FAILED and codes == [OPTED_OUT]
        yield Receipt(
            state,
            next(texts_in([status.get("id")]), None),
            next((one for one in references if _REFERENCE.fullmatch(one)), None),
            str(codes[0]) if codes else None,
            opted_out,
            next(_people(status, "recipient_id"), None) if opted_out else None,
        )


def _answers(value: Mapping[str, Any]) -> Iterator[Inbound]:
    for message in objects_at(value, "messages[*]"):
        paths = _WORDS.get(str(message.get("type")))
        sender = next(_people(message, "from", "from_user_id"), None)
        provider_id = next(texts_in([message.get("id")]), None)
        if paths is None or sender is None or provider_id is None:
            continue
        yield Inbound(
            sender,
            next(texts_in(found for path in paths for found in values_at(message, path)), ""),
            provider_id,
            next(texts_in(values_at(message, "context.id")), None),
        )


def _people(told: Mapping[str, Any], *fields: str) -> Iterator[str]:
    """Who stands in `fields`: a number in E.164, or a user's id of this business."""
    for person in texts_in([told.get(field) for field in fields]):
        yield number_of(person) if _DIGITS.fullmatch(person) else person
