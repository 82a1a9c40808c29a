"""The WhatsApp channel keeps the kit's promises against the sandbox, and meets Meta's refusals."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.channels.whatsapp import WhatsAppChannel, WhatsAppOptions
from broker.domain.errors import (
    AnswerLostError,
    ConfigError,
    OptedOutError,
    PermanentError,
    TemporaryError,
)
from broker.http_client import open_session
from broker.ports import Callback, VendorTemplate
from broker.sandbox.credentials import (
    WHATSAPP_ACCOUNT,
    WHATSAPP_APP_SECRET,
    WHATSAPP_NUMBER,
    WHATSAPP_TOKEN,
    WHATSAPP_VERIFY_TOKEN,
)
from broker.testing.channel_callbacks import ADDRESS
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from tests.contract.test_channels import SandboxKit

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import Channel, Envelope
    from broker.testing.scripted_server import Answer

WITHIN_S = 20.0
DEFLECT = VendorTemplate("ivr_deflect", "de", ("https://shop.example.com/d/x",))


def whatsapp(base_url: str, http: aiohttp.ClientSession, **more: Any) -> WhatsAppChannel:
    options = {
        "base_url": base_url,
        "phone_number_id": WHATSAPP_NUMBER,
        "waba_id": WHATSAPP_ACCOUNT,
        "access_token": WHATSAPP_TOKEN,
        "app_secret": WHATSAPP_APP_SECRET,
        "verify_token": WHATSAPP_VERIFY_TOKEN,
        "countries": ["DE"],
        **more,
    }
    return WhatsAppChannel(WhatsAppOptions.model_validate(options), http)


class TestWhatsApp(SandboxKit):
    part = "whatsapp"
    to = "+491713920001"
    taken_when_sent = True
    template = DEFLECT

    def told_back(self) -> Callback:
        status = {"id": "wamid.7", "status": "delivered", "recipient_id": "491713920001"}
        value = {"metadata": {"phone_number_id": WHATSAPP_NUMBER}, "statuses": [status]}
        entry = [{"changes": [{"field": "messages", "value": value}]}]
        body = orjson.dumps({"object": "whatsapp_business_account", "entry": entry})
        signature = hmac.new(WHATSAPP_APP_SECRET.encode(), body, "sha256").hexdigest()
        return Callback("POST", ADDRESS, [], {"x-hub-signature-256": f"sha256={signature}"}, body)

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return whatsapp(f"{url}/whatsapp", http)

    def envelope(self, reference: str = "c1|deflection", **values: str) -> Envelope:
        """The name goes into the template's only placeholder."""
        envelope = super().envelope(reference, **values)
        shown = envelope.values["name"] if values else envelope.values["link"]
        return replace(envelope, template=replace(DEFLECT, parameters=(shown,)))

    @pytest.mark.parametrize("status", [500, 502, 504])
    async def test_after_a_server_error_nobody_knows(self, channel: Channel, status: int) -> None:
        """Meta has no key: to send again could make two."""
        self._fault(status=status)
        with pytest.raises(AnswerLostError):
            await channel.send(self.envelope(), within=WITHIN_S)

    async def test_what_arrives_is_the_approved_text(self, channel: Channel) -> None:
        wamid = await channel.send(self.envelope(), within=WITHIN_S)
        [message] = self.sandbox.state.outbox
        assert message.id == wamid
        assert (message.content["template"], message.content["language"]) == ("ivr_deflect", "de")
        assert message.content["text"].endswith("https://shop.example.com/canary-link")

    async def test_words_are_sent_in_a_conversation(self, channel: Channel) -> None:
        self.sandbox.state.conversations.add(self.to.removeprefix("+"))
        words = replace(self.envelope(), template=None, text="Hello\nagain")
        await channel.send(words, within=WITHIN_S)
        [message] = self.sandbox.state.outbox
        assert message.content["text"] == "Hello\nagain"

    async def test_without_template_and_words_there_is_nothing_to_send(
        self, channel: Channel
    ) -> None:
        with pytest.raises(PermanentError, match="no template"):
            await channel.send(replace(self.envelope(), template=None), within=WITHIN_S)

    async def test_a_tracking_link_goes_out_in_the_template_of_the_nearest_language(
        self,
        channel: Channel,  # noqa: ARG002 - runs the sandbox
    ) -> None:
        templates = {one: {"name": "ivr_deflect", "language": one} for one in ("de", "en")}
        async with open_session(LOOPBACK) as http:
            url = f"{self.sandbox.base_url}/whatsapp"
            tracking = whatsapp(url, http, tracking_templates=templates)
            for language in ("de-AT", "tlh"):
                envelope = replace(self.envelope(), template=None, language=language)
                await tracking.send(envelope, within=WITHIN_S)
        sent = [message.content for message in self.sandbox.state.outbox]
        assert [content["language"] for content in sent] == ["de", "en"]
        assert all(content["text"].endswith("canary-link") for content in sent)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"name": "ivr_deflect_2"}, "132001"),
            ({"language": "pt"}, "132001"),
            ({"parameters": ()}, "132000"),
            ({"parameters": ("a", "b")}, "132000"),
            ({"parameters": ("x" * 2000,)}, "132005"),
            ({"name": "ivr_paused", "language": "en", "parameters": ()}, "132015"),
        ],
    )
    async def test_a_template_that_does_not_fit_is_refused_with_metas_code(
        self, channel: Channel, change: dict[str, Any], code: str
    ) -> None:
        envelope = replace(self.envelope(), template=replace(DEFLECT, **change))
        with pytest.raises(PermanentError, match=code):
            await channel.send(envelope, within=WITHIN_S)

    async def test_a_picture_goes_where_a_template_has_a_place_for_it(
        self,
        channel: Channel,
    ) -> None:
        pictured = VendorTemplate("ivr_picture", "en", ("https://shop.example.com/d/x",))
        message = replace(self.envelope(), template=pictured)
        seen = replace(message, media_url="https://shop.example.com/x.png")
        with pytest.raises(PermanentError, match="132012"):
            await channel.send(seen, within=WITHIN_S)
        async with open_session(LOOPBACK) as http:
            url = f"{self.sandbox.base_url}/whatsapp"
            told = whatsapp(url, http, image_templates=["ivr_picture"])
            assert await told.send(seen, within=WITHIN_S)
            with pytest.raises(PermanentError, match="needs a picture"):
                await told.send(message, within=WITHIN_S)
            assert await told.check([pictured, DEFLECT]) == []
        assert "image_templates" in " ".join(await channel.check([pictured]))

    async def test_the_same_is_told_before_the_first_message(self, channel: Channel) -> None:
        """As a rule at the start of the broker."""
        wrong = (
            replace(DEFLECT, name="ivr_deflect_2"),
            replace(DEFLECT, language="pt"),
            replace(DEFLECT, parameters=("a", "b")),
            VendorTemplate("ivr_paused", "en"),
        )
        told = " ".join(await channel.check([DEFLECT, *wrong]))
        assert told.count("whatsapp: the template") == len(wrong)
        assert all(word in told for word in ("unknown", "not in pt", "2 parameters", "PAUSED"))

    async def test_without_the_account_no_template_is_checked(self, channel: Channel) -> None:
        assert await channel.check([DEFLECT]) == []
        async with open_session(LOOPBACK) as http:
            blind = whatsapp(f"{self.sandbox.base_url}/whatsapp", http, waba_id=None)
            assert list(await blind.check([replace(DEFLECT, name="x")])) == []

    @pytest.mark.parametrize(
        ("path", "more"),
        [
            ("/whatsapp", {"access_token": "wrong"}),
            ("/whatsapp", {"phone_number_id": "7"}),
            ("/nowhere", {}),
        ],
    )
    async def test_a_wrong_account_is_explained(
        self, channel: Channel, path: str, more: dict[str, str]
    ) -> None:
        assert "the number is known" in await channel.ping()
        async with open_session(LOOPBACK) as http:
            wrong = whatsapp(self.sandbox.base_url + path, http, **more)
            with pytest.raises(ConfigError, match="check phone_number_id"):
                await wrong.ping()


def refusal(code: object, status: int = 400) -> Answer:
    return reply({"error": {"message": "+491713920001 ...", "code": code}}, status=status)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(130429), TemporaryError),
        (refusal(131056), TemporaryError),
        (refusal(80007), TemporaryError),
        (refusal(4, 403), TemporaryError),
        (refusal(130429, 429), TemporaryError),
        (refusal(131016, 503), TemporaryError),
        (refusal(131030), PermanentError),
        (refusal(131047), PermanentError),
        (refusal(132001, 404), PermanentError),
        (refusal(368, 403), PermanentError),
        (refusal(131050), OptedOutError),
        (refusal(190, 401), PermanentError),
        (refusal("new"), PermanentError),
        (reply([], status=400), PermanentError),
    ],
)
async def test_metas_codes_say_whether_it_is_worth_another_try(
    answer: Answer, kind: type[Exception]
) -> None:
    envelope = TestWhatsApp().envelope()
    async with ScriptedServer(answer) as meta, open_session(LOOPBACK) as http:
        with pytest.raises(kind) as caught:
            await whatsapp(meta.url, http).send(envelope, within=WITHIN_S)
    assert "+49" not in str(caught.value)
    if kind is TemporaryError:
        assert not isinstance(caught.value, PermanentError)


async def test_the_reference_goes_along_for_the_receipts() -> None:
    taken = reply({"messages": [{"id": "wamid.7"}]})
    envelope = replace(TestWhatsApp().envelope(), receipt_reference="r.1")
    async with ScriptedServer(taken) as meta, open_session(LOOPBACK) as http:
        assert await whatsapp(meta.url, http).send(envelope, within=WITHIN_S) == "wamid.7"
        [asked] = meta.asked
    assert asked.line == f"POST /v25.0/{WHATSAPP_NUMBER}/messages"
    assert b'"biz_opaque_callback_data":"r.1"' in asked.body


async def test_taken_without_an_id_is_taken() -> None:
    async with ScriptedServer(reply({})) as meta, open_session(LOOPBACK) as http:
        assert await whatsapp(meta.url, http).send(TestWhatsApp().envelope(), within=1.0) is None
