"""What the sandbox's WhatsApp tells a callback address, signed as Meta signs it."""

from __future__ import annotations

import hmac
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from broker.sandbox.callbacks import Post
from broker.sandbox.credentials import (
    WHATSAPP_ACCOUNT,
    WHATSAPP_APP_SECRET,
    WHATSAPP_NUMBER,
    WHATSAPP_VERIFY_TOKEN,
)
from broker.sandbox.personas import HOTLINE, digits_of
from broker.sandbox.state import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker.sandbox.state import SandboxState

CHANNEL: Final = "whatsapp"
WAMID = "wamid."
"""What ids of messages begin with."""
_WITHIN = aiohttp.ClientTimeout(total=5.0)


def receipts(state: SandboxState, statuses: Iterable[Mapping[str, Any]]) -> Iterator[Post]:
    """A callback for each."""
    return (post for status in statuses for post in _signed(state, {"statuses": [status]}))


def status(
    to: str, identity: str, reference: str | None, state: str, code: int | None
) -> dict[str, Any]:
    """What a receipt says."""
    told: dict[str, Any] = {
        "id": identity,
        "status": state,
        "timestamp": str(int(time.time())),
        "recipient_id": digits_of(to),
    }
    if reference is not None:
        told["biz_opaque_callback_data"] = reference
    if code is not None:
        told["errors"] = [{"code": code, "title": f"sandbox error {code}"}]
    return told


def _signed(state: SandboxState, value: Mapping[str, Any]) -> Iterator[Post]:
    """The callback with this in it; none if nobody wants one."""
    if (url := state.callbacks.addresses.get(CHANNEL)) is None:
        return
    metadata = {"display_phone_number": HOTLINE, "phone_number_id": WHATSAPP_NUMBER}
    whole = {"messaging_product": CHANNEL, "metadata": metadata, **value}
    change = {"field": "messages", "value": whole}
    entry = {"id": WHATSAPP_ACCOUNT, "changes": [change]}
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    signature = hmac.new(WHATSAPP_APP_SECRET.encode(), body, "sha256").hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    yield Post(url, body, headers)


def answered(
    state: SandboxState, sender: str, text: str, *, quoting: bool, hidden: bool
) -> Iterator[Post]:
    """Somebody writes to the number: the callback that tells so, and a conversation is open."""
    digits = digits_of(sender)
    state.conversations.add(digits)
    identity = {"from_user_id": f"DE.{digits[::-1]}"} if hidden else {"from": digits}
    message: dict[str, Any] = {
        **identity,
        "id": WAMID + new_id(),
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": text},
    }
    ours = [one.id for one in state.outbox if one.id.startswith(WAMID) and one.is_to(sender)]
    if quoting and ours:
        message["context"] = {"from": digits_of(HOTLINE), "id": ours[-1]}
    yield from _signed(state, {"messages": [message]})


async def verified(url: str) -> bool:
    """Whether the address repeats Meta's challenge, as it does for who knows the verify token."""
    challenge = new_id()
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": WHATSAPP_VERIFY_TOKEN,
        "hub.challenge": challenge,
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=_WITHIN) as http,
            http.get(url, params=query) as answer,
        ):
            return answer.status == HTTPStatus.OK and await answer.text() == challenge
    except (aiohttp.ClientError, TimeoutError):
        return False
