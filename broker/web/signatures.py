"""Standard Webhooks signatures of requests: https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLERANCE_S = 300.0
"""How far the sender's clock may be from ours."""
_ID = re.compile(r"[\x21-\x7e]{1,256}")
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


def signing_key(secret: str) -> bytes:
    """The key in `whsec_...`."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def is_signed(headers: Mapping[str, str]) -> bool:
    return "webhook-signature" in headers


def verify(keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether one of `keys` signed `body` within `TOLERANCE_S` of `now` (seconds since 1970).

    Several signatures may be sent and several keys be valid, while they are being changed.
    """
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if _ID.fullmatch(message_id) is None or _SECONDS.fullmatch(sent_at) is None:
        return False
    if abs(now - int(sent_at)) > TOLERANCE_S:
        return False
    given = [
        signature.encode(errors="replace")
        for version, _, signature in (
            entry.partition(",") for entry in headers.get("webhook-signature", "").split(" ")
        )
        if version == "v1"
    ]
    signed = f"{message_id}.{sent_at}.".encode() + body
    right = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    matches = [hmac.compare_digest(one, other) for one in right for other in given]
    return any(matches)
