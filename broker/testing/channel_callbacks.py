"""What every channel has to promise of callbacks: nothing unsigned is ever looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import BadInputError, SignatureError
from broker.ports import Callback

if TYPE_CHECKING:
    from broker.ports import Channel

ADDRESS = "https://broker.example.com/v1/channels/canary/callback"
_SIGNED = {
    "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    "x-hub-signature-256": "sha256=" + "0" * 64,
    "webhook-signature": "v1,AAAA",
    "authorization": "Bearer canary",
}
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_JSON = {"content-type": "application/json"}
GARBAGE = {
    "nothing": Callback("POST", ADDRESS, [], {}, b""),
    "no signature": Callback("POST", ADDRESS, [], _FORM, b"MessageSid=SM1&MessageStatus=sent"),
    "wrong signatures on a form": Callback("POST", ADDRESS, [], _SIGNED | _FORM, b"From=%2B49151"),
    "wrong signatures on JSON": Callback("POST", ADDRESS, [], _SIGNED | _JSON, b'{"entry": [{}]}'),
    "half a JSON": Callback("POST", ADDRESS, [], _SIGNED | _JSON, b'{"entry": ['),
    "no text": Callback("POST", ADDRESS, [], _SIGNED | _FORM, b"\xff\xfe\x00=%ff&\r\n"),
    "deep": Callback("POST", ADDRESS, [], _SIGNED | _JSON, b"[" * 50_000),
    "long": Callback("POST", ADDRESS, [], _SIGNED | _FORM, b"a=b&" * 15_000),
    "odd headers": Callback("POST", ADDRESS, [], dict.fromkeys(_SIGNED, "\u738b\ud800"), b"{}"),
    "odd address": Callback("POST", "https://[", [], _SIGNED | _FORM, b"a=b"),
    "a question": Callback(
        "GET",
        f"{ADDRESS}?hub.mode=subscribe&hub.verify_token=guessed&hub.challenge=canary",
        [("hub.mode", "subscribe"), ("hub.verify_token", "guessed"), ("hub.challenge", "canary")],
        {},
        b"",
    ),
}
"""What anybody may send to a callback address."""


class ChannelCallbacks:
    """A part of `ChannelKit`."""

    def told_back(self) -> Callback | None:
        """A callback as the provider sends it, with one receipt; None if it sends none."""
        return None

    @pytest.mark.parametrize("callback", GARBAGE.values(), ids=GARBAGE)
    async def test_garbage_from_anybody_is_refused(
        self, channel: Channel, callback: Callback
    ) -> None:
        with pytest.raises((SignatureError, BadInputError)) as caught:
            channel.read_callback(callback)
        if channel.calls_back:
            assert isinstance(caught.value, SignatureError)

    async def test_what_the_provider_signed_is_read_and_nothing_else(
        self, channel: Channel
    ) -> None:
        callback = self.told_back()
        assert channel.calls_back is (callback is not None)
        if callback is None:
            return
        assert len(channel.read_callback(callback).receipts) == 1
        headers = callback.headers.items()
        unsigned = {name: value for name, value in headers if name not in _SIGNED}
        body = callback.body
        for forged in (
            replace(callback, headers=unsigned),
            replace(callback, body=body + b" "),
            replace(callback, body=body[:-1]),
            replace(callback, body=b""),
        ):
            with pytest.raises(SignatureError):
                channel.read_callback(forged)
