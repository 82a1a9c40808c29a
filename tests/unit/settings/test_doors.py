"""`[compat]` and `[twilio_voice]`: what cannot work is told at the start, with all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest

from broker.domain.adereso import Sender
from broker.domain.voice_texts import PLACEHOLDERS
from broker.settings import from_mapping
from broker.settings.voice import TextName

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf, Tables

OURS = "56976591992"


def test_without_senders_nothing_is_let_in(tables: Tables) -> None:
    settings = from_mapping(tables(), {})
    rules = settings.compat.adereso.rules(settings.lookup.numbering())
    assert (rules.senders, rules.keys) == ({}, None)


def test_a_template_of_a_sender_may_come_from_a_variable(tables: Tables) -> None:
    environ = {f"BROKER_COMPAT__ADERESO__SENDERS__{OURS}__TEMPLATE": "deflection"}
    senders: dict[str, Any] = {OURS: {}}
    compat = {"adereso": {"senders": senders}}
    deflection = {"channels": ["email"]}
    smtp = {"host": "mail.example.com", "sender": "shop@example.com"}
    public = {"public_url": "https://broker.example.com"}
    made = tables(compat=compat, deflection=deflection, smtp=smtp, server=public)
    settings = from_mapping(made, environ)
    rules = settings.compat.adereso.rules(settings.lookup.numbering())
    assert rules.senders == {OURS: Sender(None, "deflection")}


def test_what_nobody_has_set_up_is_told_by_name(faults_of: FaultsOf) -> None:
    senders = {OURS: {"channel": "fax", "template": "hello"}}
    assert faults_of(compat={"adereso": {"senders": senders, "template": "hi"}}) == [
        "compat.adereso.template: there is no such template (known: deflection)",
        f"compat.adereso.senders.{OURS}.channel: there is no such channel (known: none)",
        f"compat.adereso.senders.{OURS}.template: there is no such template (known: deflection)",
        "deflection.channels: is missing; [compat.adereso] sends by them",
    ]


@pytest.mark.parametrize("number", ["+56976591992", "0056976591992", "56 9", "shop"])
def test_a_sender_is_digits_with_its_country_code(faults_of: FaultsOf, number: str) -> None:
    (fault,) = faults_of(compat={"adereso": {"senders": {number: {}}}})
    assert fault.startswith("compat.adereso.senders")


def test_metadata_is_of_a_user_or_a_ticket(faults_of: FaultsOf) -> None:
    (fault,) = faults_of(compat={"adereso": {"metadata_keys": ["plan"]}})
    assert fault.startswith("compat.adereso.metadata_keys")


VOICE = {"auth_token": "an-auth-token-of-twilio", "premium_dial": "+493023125001"}
PUBLIC = {"public_url": "https://broker.example.com"}


def test_one_number_is_enough_for_a_menu(tables: Tables) -> None:
    settings = from_mapping(tables(twilio_voice=VOICE, server=PUBLIC), {})
    assert settings.twilio_voice is not None
    menu = settings.twilio_voice.menu(settings.reference)
    assert (menu.premium_dial, menu.queue_dial) == ("+493023125001", "+493023125001")
    assert (menu.reference_length, menu.language, menu.wait_minutes) == (7, "en", None)


def test_texts_of_a_menu_may_come_one_by_one(tables: Tables) -> None:
    voice = {**VOICE, "texts": {"de": {"greeting": "Moin."}}, "language": "de"}
    settings = from_mapping(tables(twilio_voice=voice, server=PUBLIC), {})
    assert settings.twilio_voice is not None
    texts = settings.twilio_voice.menu(settings.reference).texts["de"]
    assert (texts["greeting"], "busy" in texts) == ("Moin.", True)


def test_two_tokens_are_good_and_short_ones_are_not(tables: Tables, faults_of: FaultsOf) -> None:
    both = {**VOICE, "auth_token": "an-auth-token-of-twilio the-next-token-of-twilio"}
    settings = from_mapping(tables(twilio_voice=both, server=PUBLIC), {})
    assert settings.twilio_voice is not None
    assert settings.twilio_voice.tokens == ("an-auth-token-of-twilio", "the-next-token-of-twilio")
    (fault,) = faults_of(twilio_voice={**VOICE, "auth_token": "short"}, server=PUBLIC)
    assert fault.startswith("twilio_voice.auth_token")


def test_a_menu_needs_a_public_address_and_keys_for_its_references(faults_of: FaultsOf) -> None:
    assert faults_of(twilio_voice=VOICE, reference={"alphabet": "alnum"}) == [
        "server.public_url: is missing; Twilio signs the address it calls",
        "reference.alphabet: has letters, which no telephone has a key for: see keypad",
    ]
    off = {"alphabet": "alnum", "enabled": False}
    assert faults_of(twilio_voice=VOICE, reference=off, server=PUBLIC) == []


@pytest.mark.parametrize("target", ["agents", "030 23125001", "tel:+493023125001", "sip:a b", ""])
def test_only_a_number_or_a_sip_address_is_dialled(faults_of: FaultsOf, target: str) -> None:
    (fault,) = faults_of(twilio_voice={**VOICE, "premium_dial": target}, server=PUBLIC)
    assert fault.startswith("twilio_voice.premium_dial")


def test_what_a_menu_cannot_say_is_told(faults_of: FaultsOf) -> None:
    texts = {"de": {"wait": "{hours}", "hello": "x"}}
    (fault,) = faults_of(twilio_voice={**VOICE, "texts": texts}, server=PUBLIC)
    assert fault.startswith("twilio_voice.texts.de.hello")
    texts = {"de": {"wait": "{hours}"}, "fr": {"greeting": "Bonjour."}}
    told = faults_of(twilio_voice={**VOICE, "texts": texts, "language": "it"}, server=PUBLIC)
    assert [line.partition(":")[0] for line in told] == [
        "twilio_voice.texts.de",
        "twilio_voice.texts.fr",
        "twilio_voice.language",
    ]


def test_every_text_has_a_key_of_its_own() -> None:
    assert set(get_args(TextName)) == PLACEHOLDERS.keys()


def test_who_gave_up_is_left_alone_unless_dispositions_are_named(tables: Tables) -> None:
    assert not from_mapping(tables(), {}).deflection.abandoned.rules().dispositions
    told = {"dispositions": ["Abandoned", "no-answer"], "max_age_days": 2}
    rules = from_mapping(tables(deflection={"abandoned": told}), {}).deflection.abandoned.rules()
    assert sorted(rules.dispositions) == ["abandoned", "no-answer"]
    assert rules.max_age_s == 172_800.0
    told |= {"consent": "never"}
    never = from_mapping(tables(deflection={"abandoned": told}), {}).deflection.abandoned
    assert not never.rules().dispositions


def test_following_up_needs_a_template_and_a_consent_that_is_kept(faults_of: FaultsOf) -> None:
    told = {"template": "missed", "max_age_days": 30}
    template, age = faults_of(deflection={"abandoned": told, "consents_kept_days": 29})
    assert template.startswith("deflection.abandoned.template: there is no such template")
    assert age.startswith("deflection.abandoned.max_age_days: is longer than")


@pytest.mark.parametrize("how", ["answered", "Deflected "])
def test_who_was_served_is_not_followed_up(faults_of: FaultsOf, how: str) -> None:
    (fault,) = faults_of(deflection={"abandoned": {"dispositions": [how]}})
    assert fault.startswith("deflection.abandoned.dispositions")
