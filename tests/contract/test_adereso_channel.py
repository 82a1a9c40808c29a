"""The channel Adereso keeps the kit's promises against the sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.channels.adereso import AderesoChannel, AderesoOptions
from broker.domain.errors import AnswerLostError, PermanentError
from broker.http_client import open_session
from broker.ports import VendorTemplate
from broker.sandbox.credentials import ADERESO_PHONE, ADERESO_TOKEN
from broker.testing.channel_kit import WORDS
from broker.testing.loopback import LOOPBACK
from tests.contract.test_channels import SandboxKit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from broker.ports import Channel, Envelope

WITHIN_S = 20.0


def adereso(url: str, http: aiohttp.ClientSession, **more: Any) -> AderesoChannel:
    options = {
        "base_url": f"{url}/adereso",
        "api_token": ADERESO_TOKEN,
        "business_phone": ADERESO_PHONE,
        "countries": ["DE"],
        **more,
    }
    return AderesoChannel(AderesoOptions.model_validate(options), http)


class TestAdereso(SandboxKit):
    part = "adereso"
    to = "+4917604069001"
    taken_when_sent = True
    refused = (503, 422)
    template = VendorTemplate("ivr_welcome")

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return adereso(url, http)

    def envelope(self, reference: str = "c1|deflection", **values: str) -> Envelope:
        """The name is told to whoever answers."""
        envelope = super().envelope(reference, **values)
        data = {"user.name": envelope.values["name"]}
        return replace(envelope, template=self.template, data=data)

    def words(self, text: str = WORDS) -> Envelope:
        """Desk's own: whatever else a message says stays here."""
        return replace(super().words(text), template=self.template)

    async def said(self) -> Sequence[str]:
        """Desk has the words: there is no place for any in the request."""
        return [str(message.content) for message in self.sandbox.state.outbox]

    async def test_words_that_are_ready_are_sent_as_they_are(self, channel: Channel) -> None:
        """Here they are Desk's own, and ours are not given away."""
        assert channel.needs_template
        await channel.send(self.words(), within=WITHIN_S)
        [said] = await self.said()
        assert "ivr_welcome" in said
        assert WORDS not in said

    async def test_a_picture_never_costs_anybody_the_words(self, channel: Channel) -> None:
        media = "https://shop.example.com/picture.png"
        await channel.send(replace(self.words(), media_url=media), within=WITHIN_S)
        [said] = await self.said()
        assert "ivr_welcome" in said

    async def test_the_context_arrives_with_the_message(self, channel: Channel) -> None:
        identity = await channel.send(self.envelope(), within=WITHIN_S)
        [message] = self.sandbox.state.outbox
        assert (message.kind, message.id) == ("adereso", identity)
        assert message.content["template"] == "ivr_welcome"
        assert message.content["metadata"] == {"user": {"name": "Canary Smith"}}

    async def test_an_unknown_template_is_refused(self, channel: Channel) -> None:
        unknown = replace(self.envelope(), template=VendorTemplate("ivr_unknown"))
        with pytest.raises(PermanentError, match="422"):
            await channel.send(unknown, within=WITHIN_S)

    @pytest.mark.parametrize("more", [{"api_token": "wrong"}, {"business_phone": "56976591992"}])
    async def test_nobody_else_may_send(
        self,
        channel: Channel,  # noqa: ARG002 - runs the sandbox
        more: dict[str, str],
    ) -> None:
        async with open_session(LOOPBACK) as http:
            other = adereso(self.sandbox.base_url, http, **more)
            with pytest.raises(PermanentError):
                await other.send(self.envelope(), within=WITHIN_S)
        assert await self.taken() == []

    @pytest.mark.parametrize("status", [500, 502, 504])
    async def test_after_a_server_error_nobody_knows(self, channel: Channel, status: int) -> None:
        self._fault(status=status)
        with pytest.raises(AnswerLostError):
            await channel.send(self.envelope(), within=WITHIN_S)
