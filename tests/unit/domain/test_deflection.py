"""Whom a deflection reaches, by which channel, and what a key means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain.by_number import ByNumber
from broker.domain.customer import Customer
from broker.domain.deflection import Branch, Deflection, Reaching, Wish, chose, deflect
from broker.domain.errors import BadInputError
from broker.domain.message_templates import OURS, Approved, MessageTemplate
from broker.domain.messages import DEFLECTION, Message, Place, handle_alias
from broker.domain.recipients import Recipients
from broker.domain.record import NUMBER, CallData, Record, Step
from broker.domain.sms import segments

GERMANY = Recipients(frozenset({"DE"}))
ADA = Customer(
    "1",
    email="ada@example.com",
    phones=("0151 12345678",),
    language="de",
    push_tokens=("token-1", "token-2"),
)
RULES = Deflection(
    order=("push", "sms", "email"),
    reach={
        "push": Reaching("push"),
        "sms": Reaching("phone", GERMANY, template="short"),
        "whatsapp": Reaching("phone", Recipients(frozenset({"DE"}))),
        "email": Reaching("email"),
    },
    keys={"1": "deflect"},
    branches={"billing": Branch({"5": "stay"}, ("email",), "billing", {"team": "b"})},
    templates={"deflection": OURS, "short": OURS, "billing": OURS},
    languages=ByNumber({"+34": "es", "+3491": "ca"}),
    home_region="DE",
)
HERE = Wish(by="flow")


def call(number: str | None = "+4930231250", customer: Customer | None = ADA) -> Record:
    step = Step(NUMBER, 0.0, number, done=True)
    return Record("call", 0.0, 1.0, CallData(from_=number), steps=(step,), customer=customer)


def test_all_channels_in_their_order_and_only_numbers_that_can_receive() -> None:
    assert RULES.places(call(), HERE) == (
        Place("push", "token-1"),
        Place("push", "token-2"),
        Place("sms", "+4915112345678"),
        Place("email", "ada@example.com"),
    )
    mobile = RULES.places(call("+4915199999999"), HERE)
    assert Place("sms", "+4915199999999") in mobile, "the calling number comes before the file's"
    assert RULES.places(call("+4930231250", None), HERE) == ()


def test_a_wished_channel_comes_first_then_the_preferred_one() -> None:
    liked = call(customer=replace(ADA, preferred_channel="email"))
    assert RULES.places(liked, HERE)[0].channel == "email"
    wished = RULES.places(liked, Wish(by="flow", channel="whatsapp"))
    assert [place.channel for place in wished] == ["whatsapp", "email", "push", "push", "sms"]
    odd = call(customer=replace(ADA, preferred_channel="whatsapp"))
    assert RULES.places(odd, HERE) == RULES.places(call(), HERE), "not one of those offered here"


def test_another_ones_reference_reaches_nobody_on_file() -> None:
    doubted = replace(call(), steps=(Step("reference-1", 0.0, "1", contradicts=True),))
    assert RULES.places(doubted, HERE) == ()


def test_a_number_or_address_that_was_told_is_the_only_one() -> None:
    told = RULES.places(call(), Wish(by="flow", to="+4917012345678"))
    assert [place.to for place in told if place.channel == "sms"] == ["+4917012345678"]
    mail = RULES.places(call(), Wish(by="flow", to="bea@example.com"))
    assert [place.to for place in mail if place.channel == "email"] == ["bea@example.com"]
    two = RULES.places(call(customer=None), Wish(by="flow", to="a@b.example, c@d.example"))
    assert two == ()


@pytest.mark.parametrize(
    ("used", "pushed"),
    [
        (None, True),
        ("no date", True),
        ("2026-11-20T08:00:00+00:00", True),
        ("2026-09-01T08:00:00", False),
        ("1", False),
    ],
)
def test_only_who_uses_the_app_is_pushed_to(used: str | None, pushed: bool) -> None:
    extra = {"app_active_at": used} if used is not None else {}
    noon = 1_795_262_400.0  # 2026-11-21T12:00Z
    record = replace(call(customer=replace(ADA, extra=extra)), received_at=noon)
    channels = [place.channel for place in RULES.places(record, HERE)]
    assert ("push" in channels) is pushed
    assert "sms" in channels, "the next channel"


def test_keys_and_channels_of_a_branch_take_the_place_of_the_common_ones() -> None:
    assert RULES.action(None, "1") == "deflect"
    assert (RULES.action("billing", "1"), RULES.action("billing", "5")) == (None, "stay")
    assert RULES.action("sales", "1") == "deflect"
    here = Wish(by="flow", branch="billing", context={"order": "7"})
    assert [place.channel for place in RULES.places(call(), here)] == ["email"]
    assert RULES.context(here) == {"team": "b", "order": "7"}


def test_the_template_is_the_wishes_then_the_branchs_then_the_channels() -> None:
    rules = replace(
        RULES,
        templates={
            name: MessageTemplate({"en": name})
            for name in ("deflection", "short", "billing", "other")
        },
    )
    message = Message(DEFLECTION, "sms", 0.0, 0.0)

    def chosen(message: Message) -> str:
        template = rules.template_of(message)
        assert template is not None
        return template.texts["en"]

    assert chosen(message) == "short"
    assert chosen(replace(message, channel="email")) == "deflection"
    assert chosen(replace(message, branch="billing")) == "billing"
    assert chosen(replace(message, branch="billing", template="other")) == "other"
    assert rules.template_of(replace(message, template="gone")) is None


def test_the_language_is_the_customers_else_that_of_the_called_number() -> None:
    assert RULES.language(call()) == "de"
    stranger = replace(call(customer=None), data=CallData(to="+34912345"))
    assert RULES.language(stranger) == "ca"
    assert RULES.language(call(customer=None)) is None


@pytest.mark.parametrize(
    "to",
    ["+34 912 34 56 78", "0034912345678", "(+34) 912 345 678", "sip:+34912345678@pbx.example"],
)
def test_the_language_of_a_line_is_found_however_its_number_is_spelled(to: str) -> None:
    assert RULES.language(replace(call(customer=None), data=CallData(to=to))) == "ca"


def test_a_line_that_is_dialled_nationally_is_one_of_our_country() -> None:
    rules = replace(RULES, languages=ByNumber({"+49": "de"}))
    assert rules.language(replace(call(customer=None), data=CallData(to="030 231250"))) == "de"
    abroad = replace(rules, home_region="AT")
    assert abroad.language(replace(call(customer=None), data=CallData(to="030 231250"))) is None


def test_one_deflection_per_call_found_by_its_handle() -> None:
    places = RULES.places(call(), HERE)
    record = deflect(call(), HERE, RULES, places=places, handle="secret", now=5.0)
    assert handle_alias("secret") in record.aliases
    assert "secret" not in record.aliases
    again = deflect(record, HERE, RULES, places=places[1:], handle="other", now=6.0)
    assert again == record


def test_too_many_invalid_keys_lead_to_the_queue() -> None:
    record = call()
    for choice in ("invalid", "invalid", "queue", "queue"):
        record = chose(record, "invalid", RULES)
        assert record.choice == choice
    assert chose(record, "stay", RULES).choice == "stay"


@pytest.mark.parametrize(
    ("rules", "wish", "code"),
    [
        (Deflection(), HERE, "deflection_off"),
        (RULES, Wish(by="x", channel="fax"), "unknown_channel"),
        (RULES, Wish(by="x", template="none"), "unknown_template"),
    ],
)
def test_what_is_not_set_up_is_refused_with_its_code(
    rules: Deflection, wish: Wish, code: str
) -> None:
    with pytest.raises(BadInputError) as refused:
        rules.check(wish)
    assert refused.value.code == code


LINK = "https://broker.example.com/d/" + "x" * 24


@pytest.mark.parametrize("language", ["de", "en", "es"])
def test_our_own_words_fit_into_three_segments(language: str) -> None:
    words = OURS.words(language, LINK)
    assert LINK in words.text
    assert segments(words.text) <= 3
    assert OURS.faults() == []


def test_words_come_in_the_nearest_language_and_values_are_no_templates() -> None:
    template = MessageTemplate(
        {"de": "{link} in {sla}", "pt-br": "{link}"}, values={"sla": "{link} & 5 min"}
    )
    assert template.faults() == []
    assert template.words("de_AT", "L").text == "L in {link} & 5 min"
    assert template.words("fr", "L").text == "L in {link} & 5 min", "any is better than none"


@pytest.mark.parametrize(
    "template",
    [
        MessageTemplate({}),
        MessageTemplate({"en": "{link} {name}"}),
        MessageTemplate({"en": "{link} {"}),
        MessageTemplate({"en": "{link}\x07"}),
        MessageTemplate({"en": "{link}"}, titles={"en": "{who}"}),
        MessageTemplate({"en": "{link}"}, values={"Not a name": "x"}),
        MessageTemplate({"en": "{link}"}, values={"link": "x"}),
        MessageTemplate({"en": "x"}, approved={"wa": Approved("t", parameters=("link", "who"))}),
    ],
)
def test_what_is_wrong_with_words_is_told_before_they_are_used(template: MessageTemplate) -> None:
    assert len(template.faults()) == 1


def test_a_providers_template_gets_its_parameters_in_their_order() -> None:
    approved = Approved("hello", {"de": "de_DE", "en": "en_US"}, ("sla", "link"))
    template = MessageTemplate({"en": "x"}, values={"sla": "5"}, approved={"wa": approved})
    assert template.parameters("wa", "L") == ("5", "L")
    assert (approved.language("de-CH"), approved.language("fr")) == ("de_DE", "en_US")
    assert Approved("x").language("de") is None
