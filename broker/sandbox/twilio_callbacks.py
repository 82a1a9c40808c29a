"""What the sandbox's Twilio tells: receipts and what people write, signed as Twilio signs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from broker.domain.twilio_signature import twilio_signature
from broker.sandbox.callbacks import Post
from broker.sandbox.credentials import TWILIO_ACCOUNT, TWILIO_TOKEN
from broker.sandbox.personas import HOTLINE, digits_of
from broker.sandbox.state import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.sandbox.state import SandboxState

CHANNEL = "twilio"
"""Whose callback address it is; see `PUT /_sandbox/callbacks`."""
WHATSAPP = "whatsapp:"
_AFTER_S = 0.05
"""Between one receipt and the next, so that the answer to the request comes first as a rule."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that Twilio has, as it names sender and recipient."""

    sid: str
    to: str
    sender: str
    receipts: str
    """`StatusCallback`; empty = nobody wants them."""


def receipts(state: SandboxState, message: Taken, code: int | None) -> Iterator[Post]:
    """What became of a message: it arrived, or did not for the reason `code`."""
    whatsapp = message.to.startswith(WHATSAPP)
    arrived = ["sent", "delivered", "read"] if whatsapp else ["sent", "delivered"]
    statuses = arrived if code is None else ["sent", "undelivered"]
    mode = state.faults.plan.twilio.receipts
    if mode == "none" or not message.receipts:
        return
    if mode == "twice":
        statuses = [status for status in statuses for _ in range(2)]
    for status in reversed(statuses) if mode == "reversed" else statuses:
        form = {"MessageSid": message.sid, "SmsSid": message.sid, "MessageStatus": status}
        form |= {"SmsStatus": status, "To": message.to, "From": message.sender}
        if status == "undelivered":
            form["ErrorCode"] = str(code)
        yield _signed(message.receipts, form)


def written(
    state: SandboxState, sender: str, text: str, *, whatsapp: bool, quoting: bool
) -> Iterator[Post]:
    """Somebody writes: the callback that tells so, to where the account wants it.

    That is the address that was set up, else where receipts of the last message to him went.
    """
    if whatsapp:
        state.conversations.add(digits_of(sender))
    prefix = WHATSAPP if whatsapp else ""
    last = state.twilio_sent.get(prefix + sender)
    address = state.callbacks.addresses.get(CHANNEL) or (last and last.receipts.partition("?")[0])
    if not address:
        return
    sid = f"SM{new_id()}"
    form = {"MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid, "SmsStatus": "received"}
    form |= {"From": prefix + sender, "To": last.sender if last else prefix + HOTLINE}
    form |= {"Body": text, "NumMedia": "0", "NumSegments": "1"}
    if whatsapp:
        form |= {"WaId": digits_of(sender), "ProfileName": "Sandbox"}
    if whatsapp and quoting and last is not None:
        form |= {"OriginalRepliedMessageSid": last.sid, "OriginalRepliedMessageSender": last.sender}
    yield _signed(address, form)


def _signed(url: str, form: Mapping[str, str]) -> Post:
    whole = {**form, "AccountSid": TWILIO_ACCOUNT, "ApiVersion": "2010-04-01"}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": twilio_signature(TWILIO_TOKEN, url, whole.items()),
    }
    return Post(url, urlencode(whole).encode(), headers, _AFTER_S)
