"""What Twilio tells about a message, and what people write back: one signed form each."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.channels.twilio.messages import OPTED_OUT
from broker.domain.twilio_signature import signed_form
from broker.domain.whatsapp_ids import number_of
from broker.sdk import BadInputError, CallbackRead, Inbound, Keyword, Receipt, ReceiptState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.sdk import Callback

WHATSAPP = "whatsapp:"
REFERENCE = "m"
"""The query parameter of `Envelope.receipt_url` that holds `Envelope.receipt_reference`."""
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
_MOST_BYTES = 65_536
"""Of a form, which has to be taken apart before its signature can be checked. Twilio's longest, a
WhatsApp message of 4,096 emojis, has some 50 kB."""
_STATES = {
    "sent": ReceiptState.SENT,
    "delivered": ReceiptState.DELIVERED,
    "read": ReceiptState.READ,
    "undelivered": ReceiptState.FAILED,
    "failed": ReceiptState.FAILED,
    "canceled": ReceiptState.FAILED,
}
"""Of `accepted`, `scheduled`, `queued` and `sending` nobody needs to hear: they precede `sent`."""
_OPTED_OUT = frozenset(map(str, OPTED_OUT))
_ARRIVED = frozenset({"receiving", "received"})
_REFERENCE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}", re.ASCII)
_CODE = re.compile(r"[1-9][0-9]{3,5}", re.ASCII)
_KEYWORDS = {keyword.value.upper(): keyword for keyword in Keyword}
"""`OptOutType`, with messages to a messaging service that has Advanced Opt-Out: the customer's own
words too (Twilio, "How to track opt-out, opt-in and help messages")."""
_PERSON = re.compile(r"[A-Za-z0-9+][A-Za-z0-9_.:@-]{0,63}", re.ASCII)


def read_callback(callback: Callback, tokens: Sequence[str]) -> CallbackRead:
    """A receipt or a message in what Twilio sent.

    SignatureError: it was not Twilio. BadInputError: nothing that is known here, or `too_large`.
    """
    if len(callback.body) > _MOST_BYTES:
        raise BadInputError(f"more than {_MOST_BYTES} bytes", code="too_large")
    form = signed_form(tokens, callback.url, callback.headers, callback.body)
    sid = form.get("MessageSid") or form.get("SmsSid") or ""
    if _SID.fullmatch(sid) is None:
        raise BadInputError("the callback names no message")
    status = form.get("MessageStatus") or form.get("SmsStatus") or ""
    if status in _ARRIVED or (not status and "Body" in form):
        return CallbackRead((), (_inbound(form, sid),), NO_REPLY, "text/xml")
    state = _STATES.get(status)
    if state is None:
        return CallbackRead()
    if state is not ReceiptState.FAILED:
        return CallbackRead((Receipt(state, sid, _reference(callback)),))
    reason = _reason(form, status)
    failed = Receipt(state, sid, _reference(callback), reason)
    if reason in _OPTED_OUT:
        failed = replace(failed, opted_out=True, recipient=_person(form.get("To", "")))
    return CallbackRead((failed,))


def _reason(form: Mapping[str, str], status: str) -> str:
    """Twilio's code, such as 30006 for a fixed line, or the status if there is none."""
    code = form.get("ErrorCode", "")
    return code if _CODE.fullmatch(code) else status


def _reference(callback: Callback) -> str | None:
    given = next((value for name, value in callback.query if name == REFERENCE), "")
    return given if _REFERENCE.fullmatch(given) else None


def _person(name: str) -> str | None:
    """E.164, or the id of a WhatsApp user; None for anything else."""
    person = name.removeprefix(WHATSAPP)
    if _PERSON.fullmatch(person) is None:
        return None
    return number_of(person) if name.startswith(WHATSAPP + "+") else person


def _inbound(form: Mapping[str, str], sid: str) -> Inbound:
    """What somebody wrote; a picture without words has the text ``."""
    sender = _person(form.get("From", ""))
    if sender is None:
        raise BadInputError("the message names no sender")
    answered = form.get("OriginalRepliedMessageSid", "")
    in_reply_to = answered if _SID.fullmatch(answered) else None
    keyword = _KEYWORDS.get(form.get("OptOutType", ""))
    return Inbound(sender, form.get("Body", ""), sid, in_reply_to, keyword)
