"""Where a caller stands in the telephone menu, and what he hears: from his record alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.by_number import ByNumber
from broker.domain.customer import Customer, LookupState
from broker.domain.deflection import Deflection, Reaching, Wish, chose, deflect
from broker.domain.messages import DEFLECTION, TRACKING, Message, MessageState
from broker.domain.recipients import Recipients
from broker.domain.record import NUMBER, CallData, Offered, Record, Step
from broker.domain.routing import Route
from broker.domain.voice import (
    ABANDONED,
    DEFLECTED,
    Again,
    Ask,
    Dial,
    HangUp,
    Menu,
    Say,
    Spot,
    Turn,
    hung_up,
)
from broker.domain.voice_texts import OURS, PLACEHOLDERS, faults, overlaid, words_in

MOBILE, LANDLINE = "+4915112345678", "+49891234567"
MENU = Menu("+493023125000", "+493023125001")
RULES = Deflection(
    order=("sms",),
    reach={"sms": Reaching("phone", Recipients(frozenset({"DE"})))},
    keys={"1": "deflect", "2": "stay", "12": "deflect"},
)
OFF = Deflection()
NOW = 1000.0


def call(route: Route | None = Route.STANDARD, number: str = MOBILE, **more: Any) -> Record:
    lookup = LookupState.FOUND if route is not None else None
    step = Step(NUMBER, NOW, number, lookup=lookup, route=route)
    data = CallData(from_=number, to="+493023125000")
    return Record("CA1", NOW, NOW, data=data, steps=(step,), **more)


def sent(state: MessageState, **more: Any) -> Record:
    message = Message(DEFLECTION, "sms", queued_at=NOW, due_at=NOW, state=state)
    return call(messages=(replace(message, **more),))


def spot(record: Record, rules: Deflection = RULES, now: float = NOW) -> Spot:
    return MENU.spot(record, rules, now)


def turn(record: Record, menu: Menu = MENU, rules: Deflection = RULES, **more: Any) -> Any:
    return Turn(menu, rules, record, NOW, **more).script()


def said(script: Any) -> str:
    """Everything that is heard, in one line."""
    heard: list[str] = []
    for verb in script.verbs:
        heard += [
            say.text for say in ([verb] if isinstance(verb, Say) else getattr(verb, "says", []))
        ]
    return " ".join(heard)


@pytest.mark.parametrize(
    ("route", "where"),
    [
        (Route.PREMIUM, Spot.PREMIUM),
        (Route.REFERENCE, Spot.REFERENCE),
        (Route.SELF_SERVICE, Spot.OFFER),
        (Route.STANDARD, Spot.OFFER),
        (None, Spot.OFFER),
    ],
)
def test_the_route_leads_to_its_place(route: Route | None, where: Spot) -> None:
    assert spot(call(route)) is where


def test_nothing_is_offered_that_does_not_reach_him() -> None:
    assert spot(call(number=LANDLINE)) is Spot.QUEUE
    assert spot(call(), OFF) is Spot.QUEUE
    assert spot(call(), replace(RULES, keys={"2": "stay", "12": "deflect"})) is Spot.QUEUE


def test_the_rules_may_forbid_the_offer_and_word_it() -> None:
    assert spot(call(offered=Offered(offer=False, rule="closed"))) is Spot.QUEUE
    worded = call(offered=Offered(offer=True, rule="busy", text="Half an hour."))
    assert said(turn(worded)).startswith("Half an hour. Press 1")


@pytest.mark.parametrize("choice", ["stay", "queue", "no_recipient"])
def test_who_has_chosen_to_wait_gets_to_a_person(choice: str) -> None:
    assert spot(call(choice=choice)) is Spot.QUEUE
    assert turn(call(choice=choice)).verbs[-1] == Dial(MENU.queue_dial, 30)


def test_a_premium_caller_who_wants_to_wait_goes_to_the_queue() -> None:
    assert spot(call(Route.PREMIUM, choice="queue")) is Spot.QUEUE


@pytest.mark.parametrize(
    ("state", "where"),
    [
        (MessageState.QUEUED, Spot.HOLD),
        (MessageState.SENDING, Spot.HOLD),
        (MessageState.SENT, Spot.SENT),
        (MessageState.DELIVERED, Spot.SENT),
        (MessageState.REPLIED, Spot.SENT),
        (MessageState.FAILED, Spot.QUEUE),
        (MessageState.UNKNOWN, Spot.QUEUE),
        (MessageState.SUPPRESSED, Spot.QUEUE),
        (MessageState.EXPIRED, Spot.QUEUE),
    ],
)
def test_only_a_sent_message_lets_him_hang_up(state: MessageState, where: Spot) -> None:
    record = sent(state)
    assert spot(record) is where
    assert (HangUp() in turn(record).verbs) is (where is Spot.SENT)


def test_he_does_not_wait_for_ever_for_his_message() -> None:
    assert spot(sent(MessageState.SENDING), now=NOW + 19) is Spot.HOLD
    assert spot(sent(MessageState.SENDING), now=NOW + 20) is Spot.QUEUE
    assert spot(sent(MessageState.QUEUED, due_at=NOW + 3600)) is Spot.QUEUE, "in quiet hours"


def test_a_premium_caller_is_connected() -> None:
    script = turn(call(Route.PREMIUM), greets=True)
    assert script.verbs == (
        Say("Welcome."),
        Say("We connect you with your personal adviser."),
        Dial(MENU.premium_dial, 30),
    )


def test_the_reference_is_asked_for_and_a_wrong_one_is_told() -> None:
    first = turn(call(Route.REFERENCE), greets=True)
    asked = Say("Please type your reference of 7 digits.")
    assert first.verbs[1:] == (Ask((asked,), 7, 10), Again())
    typed = call(Route.REFERENCE)
    typed = replace(typed, steps=(*typed.steps, Step("reference-1", NOW, "1")))
    assert said(turn(typed, typed=True)).startswith("We have not found this reference.")
    assert said(turn(typed)) == asked.text, "silence is no wrong reference"


def test_the_offer_says_the_wait_and_the_keys() -> None:
    script = turn(call(), replace(MENU, wait_minutes=30))
    assert said(script) == (
        "The expected wait is 30 minutes. "
        "Press 1 to go on in writing: you get a message right away. "
        "Press 2 to wait for a colleague."
    )
    assert isinstance(script.verbs[0], Ask)
    assert (script.verbs[0].digits, script.verbs[1:]) == (1, (Again(),))
    without = replace(RULES, keys={"5": "deflect:sms"})
    assert said(turn(call(), rules=without)).startswith("Press 5 to go on")


def test_an_invalid_key_is_told_and_silence_is_not() -> None:
    wrong = chose(call(), "invalid", RULES)
    assert said(turn(wrong, typed=True)).startswith("This key has no meaning here.")
    assert said(turn(wrong)).startswith("Press 1")


def test_after_too_many_invalid_keys_he_gets_to_a_person() -> None:
    record = call()
    for _ in range(3):
        assert spot(record) is Spot.OFFER
        record = chose(record, "invalid", RULES)
    assert spot(record) is Spot.QUEUE


def test_a_tracking_email_is_news_once() -> None:
    mail = Message(TRACKING, "email", queued_at=NOW, due_at=NOW)
    record = call(Route.SELF_SERVICE, messages=(mail,))
    news = OURS["en"]["tracking"]
    assert news in said(turn(record, greets=True))
    assert news not in said(turn(record)), "a second round"
    assert news in said(turn(record, rules=OFF, greets=True)), "also on the way to the queue"
    lost = replace(mail, state=MessageState.FAILED)
    assert news not in said(turn(call(messages=(lost,)), greets=True))


def test_why_he_is_not_written_to_is_said() -> None:
    assert said(turn(sent(MessageState.FAILED))).startswith("Your message could not be sent.")
    assert "could not" not in said(turn(sent(MessageState.UNKNOWN))), "nobody knows"
    assert said(turn(call(choice="no_recipient"))).startswith("No message reaches")


def test_a_key_that_deflects_leads_to_the_message() -> None:
    wish = Wish(by="key:1")
    places = RULES.places(call(), wish)
    queued = deflect(call(), wish, RULES, places=places, handle="h", now=NOW)
    assert spot(queued) is Spot.HOLD
    assert turn(queued).verbs == (Say(OURS["en"]["hold"]), Again())


def test_he_is_spoken_to_in_his_language() -> None:
    german = call(customer=Customer(id="7", language="de-AT"))
    assert turn(german).language == "de"
    by_line = replace(RULES, languages=ByNumber({"+4930": "es"}))
    assert turn(call(), rules=by_line).language == "es"
    unheard = call(customer=Customer(id="7", language="fi"))
    assert turn(unheard, replace(MENU, language="es")).language == "es"


@pytest.mark.parametrize(
    ("record", "how"),
    [
        (call(), ABANDONED),
        (sent(MessageState.QUEUED), DEFLECTED),
        (sent(MessageState.SENT), DEFLECTED),
        (sent(MessageState.UNKNOWN), DEFLECTED),
        (sent(MessageState.FAILED), ABANDONED),
    ],
)
def test_who_hangs_up_has_a_message_or_gave_up(record: Record, how: str) -> None:
    assert hung_up(record) == how


@pytest.mark.parametrize("language", OURS)
def test_our_texts_say_everything_in_every_language(language: str) -> None:
    assert OURS[language].keys() == PLACEHOLDERS.keys()
    assert not list(faults({language: OURS[language]}))
    for name, values in PLACEHOLDERS.items():
        filled = words_in(OURS, language, "en").say(name, **dict.fromkeys(values, "77"))
        assert ("77" in filled) is bool(values)
        assert "{" not in filled


def test_single_texts_of_the_operator_replace_ours() -> None:
    texts = overlaid({"de": {"greeting": "Moin."}})
    assert texts["de"]["greeting"] == "Moin."
    assert texts["de"]["busy"] == OURS["de"]["busy"]


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"fr": {"greeting": "Bonjour."}}, "lacks busy, hold"),
        ({"de": {"greeting": "Moin {name}."}}, "greeting has a value that is not there"),
        ({"de": {"wait": "{minutes} {"}}, "wait has a brace that belongs to no value"),
        ({"de": {"wait": "a\nb"}}, "wait has a character that cannot be said"),
    ],
)
def test_what_cannot_be_said_is_told(own: dict[str, dict[str, str]], problem: str) -> None:
    ((language, told),) = faults(own)
    assert (language, told.startswith(problem)) == (next(iter(own)), True)
