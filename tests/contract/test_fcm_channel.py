"""The push channel keeps the kit's promises against the sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from broker.channels.fcm import FcmChannel, FcmOptions
from broker.domain.errors import AnswerLostError, ConfigError, PermanentError
from broker.http_client import open_session
from broker.sandbox.fcm import service_account
from broker.testing.loopback import LOOPBACK
from tests.contract.test_channels import SandboxKit

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import Channel, Envelope

WITHIN_S = 20.0


def fcm(url: str, http: aiohttp.ClientSession, **changes: str) -> FcmChannel:
    account = orjson.dumps({**service_account(url), **changes}).decode()
    options = {"base_url": f"{url}/fcm", "service_account": account}
    return FcmChannel(FcmOptions.model_validate(options), http)


class TestFcm(SandboxKit):
    part = "fcm"
    path = "/fcm/v1"
    to = "sandbox-push-mobile-042"
    taken_when_sent = True

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return fcm(url, http)

    def envelope(self, reference: str = "c1|deflection", **values: str) -> Envelope:
        """The name stands in the text."""
        envelope = super().envelope(reference, **values)
        return replace(envelope, title="Ihr Anruf", text=envelope.values["name"])

    async def test_the_app_gets_words_and_link(self, channel: Channel) -> None:
        identity = await channel.send(self.envelope(), within=WITHIN_S)
        [message] = self.sandbox.state.outbox
        assert (message.kind, message.id) == ("push", identity)
        assert (message.content["title"], message.content["text"]) == ("Ihr Anruf", "Canary Smith")
        assert message.content["data"] == {"link": "https://shop.example.com/canary-link"}

    @pytest.mark.parametrize(
        ("token", "code"),
        [("sandbox-push-mobile-999", "UNREGISTERED"), ("short", "INVALID_ARGUMENT")],
    )
    async def test_an_app_that_is_gone_is_final(
        self, channel: Channel, token: str, code: str
    ) -> None:
        with pytest.raises(PermanentError, match=code) as caught:
            await channel.send(replace(self.envelope(), to=token), within=WITHIN_S)
        assert token not in str(caught.value)

    @pytest.mark.parametrize("context", [{"from": "x"}, {"gcm.n": "x"}, {"note": "ä" * 2048}])
    async def test_context_that_google_would_refuse_stops_no_message(
        self, channel: Channel, context: dict[str, str]
    ) -> None:
        assert await channel.send(replace(self.envelope(), data=context), within=WITHIN_S)

    @pytest.mark.parametrize("status", [502, 504])
    async def test_after_a_broken_gateway_nobody_knows(self, channel: Channel, status: int) -> None:
        self._fault(status=status)
        with pytest.raises(AnswerLostError):
            await channel.send(self.envelope(), within=WITHIN_S)

    async def test_ping_names_the_project(self, channel: Channel) -> None:
        assert "sandbox" in await channel.ping()

    @pytest.mark.parametrize("change", [{"project_id": "somebody-elses"}])
    async def test_an_account_that_may_not_send_is_explained(
        self,
        channel: Channel,  # noqa: ARG002 - runs the sandbox
        change: dict[str, str],
    ) -> None:
        async with open_session(LOOPBACK) as http:
            with pytest.raises(ConfigError, match="PERMISSION_DENIED"):
                await fcm(self.sandbox.base_url, http, **change).ping()

    async def test_a_stranger_gets_no_token(self, channel: Channel) -> None:
        await channel.ping()
        async with open_session(LOOPBACK) as http:
            stranger = fcm(self.sandbox.base_url, http, client_email="eve@example.com")
            with pytest.raises(PermanentError, match="invalid_grant"):
                await stranger.send(self.envelope(), within=WITHIN_S)
        assert await self.taken() == []
