"""Which approved messages have to be there, going by the settings."""

from __future__ import annotations

from broker.domain.message_templates import Approved, MessageTemplate
from broker.ports import VendorTemplate
from broker.usecases.approved import approved_messages

TEXTS = {"en": "Go on here: {link}"}


def test_a_message_is_looked_for_in_every_language_of_the_provider() -> None:
    approved = Approved("ivr_deflect", {"de": "de", "en": "en_US"}, ("link",))
    template = MessageTemplate(TEXTS, approved={"whatsapp": approved})
    found = approved_messages([template, template])
    assert {channel: list(messages) for channel, messages in found.items()} == {
        "whatsapp": [
            VendorTemplate("ivr_deflect", "de", ("link",)),
            VendorTemplate("ivr_deflect", "en_US", ("link",)),
        ]
    }


def test_one_whose_name_says_the_language_is_looked_for_once() -> None:
    template = MessageTemplate(TEXTS, approved={"desk": Approved("ivr_welcome")})
    assert approved_messages([template]) == {"desk": [VendorTemplate("ivr_welcome")]}


def test_a_template_without_approved_messages_asks_nobody() -> None:
    assert approved_messages([MessageTemplate(TEXTS)]) == {}
