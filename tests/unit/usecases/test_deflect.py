"""A deflection from the key to its end: consented to, sent once, handed on, followed up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Numbering
from broker.domain.deflection import Reaching, Wish
from broker.domain.errors import (
    AnswerLostError,
    PermanentError,
    StoreUnavailableError,
    TemporaryError,
)
from broker.domain.message_templates import MessageTemplate
from broker.domain.messages import DEFLECTION, EntryState, Message, MessageState, message_id
from broker.domain.record import Outcome, Record
from broker.stores.people import RedisConsents
from broker.usecases.erase import Erase
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.domain.consents import Consent
    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"
HERE = Wish(by="flow")


def message(record: Record) -> Message:
    found = record.message(DEFLECTION)
    assert found is not None
    return found


def is_in(state: MessageState) -> Callable[[Record], bool]:
    return lambda record: message(record).state is state


def has_ticket(state: EntryState) -> Callable[[Record], bool]:
    def reached(record: Record) -> bool:
        ticket = message(record).ticket
        return ticket is not None and ticket.state is state

    return reached


async def consents(world: World) -> list[Consent]:
    return [one async for one in RedisConsents(world.store).export()]


async def called(world: World, replica: Replica, customer: Customer) -> Record:
    world.crm.add(customer, CALLER)
    record = await world.starts(replica)
    return await world.until(record, lambda r: r.steps[0].done)


async def test_a_key_makes_one_message_and_tells_the_session(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    chosen = [await replica.deflect.on_choice(record.id, "1", None) for _ in range(3)]
    assert {one.choice for one in chosen} == {"deflect"}
    record = await world.until(record, is_in(MessageState.SENT))
    await world.until(record, lambda r: not r.steps[0].repair)
    assert [envelope.to for envelope in world.channels["sms"].taken] == [CALLER]
    shown = world.session(record)
    assert (shown["ivr.choice"], shown["ivr.deflection"]) == ("deflect", "sent")
    assert [one.key for one in await consents(world)] == ["1"]
    ended = await replica.finish.on_end(record.id)
    assert ended is not None
    assert ended.outcome is Outcome.MESSAGED


async def test_two_key_presses_at_once_are_one_consent(world: World, premium: Customer) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    both = (replica.deflect.on_choice(record.id, "1", None) for _ in range(2))
    assert {one.choice for one in await asyncio.gather(*both)} == {"deflect"}
    await world.until(record, is_in(MessageState.SENT))
    assert len(await consents(world)) == 1


async def test_what_came_before_is_answered_again_only_if_it_lasts(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    again: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: replica.deflect.on_deflect(record.id, HERE),
        lambda: replica.identify.on_reference(CallStarted(record.id), "1234567"),
        lambda: replica.finish.on_end(record.id),
        lambda: replica.identify.on_reference(CallStarted(record.id), "7654321"),
    )
    for ask in again:
        await ask()
        before = world.store.proofs
        await ask()
        assert world.store.proofs == before + 1


async def test_the_handle_in_the_link_finds_the_call_and_the_store_does_not_show_it(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await replica.deflect.on_deflect((await called(world, replica, premium)).id, HERE)
    record = await world.until(record, is_in(MessageState.SENT))
    (envelope,) = world.channels["sms"].taken
    handle = envelope.values["link"].rpartition("/d/")[2]
    assert len(handle) == 24
    assert message(record).handle == handle
    assert await world.store.client.keys(f"*{handle}*") == []


async def test_a_template_may_have_a_picture_and_need_not_have_a_link(
    world: World, premium: Customer
) -> None:
    words = MessageTemplate({"en": "Answer this message."}, media_url="https://shop.example/a.png")
    world.deflecting("sms", templates={"deflection": words})
    replica = world.replica()
    record = await replica.deflect.on_deflect((await called(world, replica, premium)).id, HERE)
    await world.until(record, is_in(MessageState.SENT))
    (envelope,) = world.channels["sms"].taken
    assert (envelope.text, envelope.media_url) == (words.texts["en"], words.media_url)


async def test_a_refusal_goes_on_to_the_next_channel_at_once(
    world: World, premium: Customer
) -> None:
    world.deflecting("whatsapp", "sms")
    world.channels["whatsapp"].fail(PermanentError("131026"))
    replica = world.replica()
    record = await called(world, replica, premium)
    began = world.clock.time()
    await replica.deflect.on_deflect(record.id, HERE)
    record = await world.until(record, is_in(MessageState.SENT))
    assert world.clock.time() - began < 0.1
    assert (message(record).channel, message(record).attempts) == ("sms", 2)
    assert replica.metrics.messages.labels("whatsapp", "deflection", "failed")._value.get() == 1


async def test_a_channel_that_takes_approved_messages_only_is_not_bothered_with_others(
    world: World, premium: Customer
) -> None:
    world.deflecting("whatsapp", "sms")
    world.channels["whatsapp"].needs_template = True
    replica = world.replica()
    record = await called(world, replica, premium)
    await replica.deflect.on_deflect(record.id, HERE)
    record = await world.until(record, is_in(MessageState.SENT))
    assert world.channels["whatsapp"].attempts == []
    assert message(record).channel == "sms"


async def test_a_lost_answer_is_held_and_never_falls_back(world: World, premium: Customer) -> None:
    world.deflecting("whatsapp", "sms")
    world.channels["whatsapp"].fail(AnswerLostError("cut"))
    replica = world.replica()
    record = await called(world, replica, premium)
    await replica.deflect.on_deflect(record.id, HERE)
    await world.until(record, is_in(MessageState.UNKNOWN))
    await asyncio.sleep(1.0)
    assert world.channels["sms"].taken == []


async def test_a_channel_that_is_away_is_tried_again_and_then_left(
    world: World, premium: Customer
) -> None:
    world.deflecting("whatsapp", "sms")
    world.channels["whatsapp"].fail(*[TemporaryError("away")] * 50)
    replica = world.replica()
    replica.worker.open()
    record = await called(world, replica, premium)
    await replica.deflect.on_deflect(record.id, HERE)
    record = await world.until(record, is_in(MessageState.SENT), 30.0)
    assert message(record).channel == "sms"
    assert message(record).attempts > 2, "it was tried again before"


async def test_without_the_store_nothing_is_sent_and_a_repeat_is_safe(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    world.store.deaf = True
    with pytest.raises(StoreUnavailableError):
        await replica.deflect.on_deflect(record.id, HERE)
    world.store.deaf = False
    replica.worker.open()
    await replica.deflect.on_deflect(record.id, HERE)
    await world.until(record, is_in(MessageState.SENT))
    assert len(world.channels["sms"].taken) == 1
    assert len(await consents(world)) == 1


async def test_two_replicas_asked_at_once_make_one_message(world: World, premium: Customer) -> None:
    world.deflecting("sms")
    replicas = [world.replica() for _ in range(4)]
    record = await called(world, replicas[0], premium)
    await asyncio.gather(*(one.deflect.on_deflect(record.id, HERE) for one in replicas))
    await world.until(record, is_in(MessageState.SENT))
    assert len(world.channels["sms"].taken) == 1
    assert len(await consents(world)) == 1


async def test_without_a_call_it_is_one_message_per_content_and_client(world: World) -> None:
    world.deflecting("sms")
    replica = world.replica()
    wish = Wish(by="api:crm", to="0151 12345678", context={"order": "7"})
    first, again = [await replica.deflect.without_call("crm", wish) for _ in range(2)]
    assert first.id == again.id
    other = await replica.deflect.without_call("shop", wish)
    assert other.id != first.id
    await world.until(other, is_in(MessageState.SENT))
    await world.until(first, is_in(MessageState.SENT))
    assert len(world.channels["sms"].taken) == 2
    assert first.outcome is None, "it is no call"


async def test_a_ticket_is_opened_once_when_the_message_is_sent(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms", ticket_crm="shop")
    replica = world.replica()
    record = await called(world, replica, premium)
    wish = Wish(by="flow", branch="billing", context={"ticket.subject": "Bill", "order": "7"})
    await replica.deflect.on_deflect(record.id, wish)
    await world.until(record, has_ticket(EntryState.KEPT))
    (ticket,) = world.crm.tickets.values()
    assert (ticket.reference, ticket.subject) == (message_id(record.id, DEFLECTION), "Bill")
    assert ticket.customer_id == premium.id
    assert "branch: billing" in ticket.text
    assert "order: 7" in ticket.text


async def test_a_crm_that_is_away_gets_its_ticket_later_and_only_one(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms", ticket_crm="shop")
    replica = world.replica()
    replica.worker.open()
    record = await called(world, replica, premium)
    world.crm.fail(TemporaryError("away"), AnswerLostError("no answer"))
    await replica.deflect.on_deflect(record.id, HERE)
    await world.until(record, has_ticket(EntryState.KEPT), 60.0)
    assert len(world.crm.tickets) == 1


async def test_a_refused_ticket_is_a_dead_letter_and_the_message_stays_sent(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms", ticket_crm="shop")
    replica = world.replica()
    record = await called(world, replica, premium)
    world.crm.fail(PermanentError("no"))
    await replica.deflect.on_deflect(record.id, HERE)
    record = await world.until(record, has_ticket(EntryState.FAILED))
    assert message(record).state is MessageState.SENT
    (letter,) = await replica.book.ledger.dead_letters()
    assert letter.work == "ticket:deflection"


async def test_no_ticket_for_a_message_that_nobody_took(world: World, premium: Customer) -> None:
    world.deflecting("sms", ticket_crm="shop")
    world.channels["sms"].fail(PermanentError("no"))
    replica = world.replica()
    record = await called(world, replica, premium)
    await replica.deflect.on_deflect(record.id, HERE)
    await world.until(record, is_in(MessageState.FAILED))
    await asyncio.sleep(0.5)
    assert world.crm.tickets == {}


async def test_a_customers_record_gets_one_note_of_every_call(
    world: World, premium: Customer
) -> None:
    world.policy = replace(world.policy, notes=frozenset({"shop"}))
    replica = world.replica()
    record = await called(world, replica, premium)
    await asyncio.sleep(0.2)
    assert world.crm.notes == {}, "not before its outcome"
    world.crm.fail(TemporaryError("away"))
    replica.worker.open()
    await replica.finish.on_end(record.id, "hangup")

    def noted(record: Record) -> bool:
        return record.note is not None and record.note.state is EntryState.KEPT

    record = await world.until(record, noted, 60.0)
    (note,) = world.crm.notes.values()
    assert (note.customer_id, note.outcome) == (premium.id, "premium")
    assert "disposition: hangup" in note.text
    assert record.outcome is Outcome.PREMIUM


async def test_nobody_gets_a_note_unless_his_crm_wants_it(world: World, premium: Customer) -> None:
    world.policy = replace(world.policy, notes=frozenset({"other"}))
    replica = world.replica()
    record = await called(world, replica, premium)
    ended = await replica.finish.on_end(record.id)
    assert ended is not None
    assert ended.note is None


async def contradicted(
    world: World, replica: Replica, customer: Customer, other: Customer
) -> Record:
    """A call of `customer` in which somebody typed the reference of `other`."""
    world.crm.add(other, references=["2001001"])
    record = await called(world, replica, customer)
    await replica.identify.on_reference(CallStarted(record.id), "2001001")
    return await world.until(record, lambda found: found.contradicted)


async def test_a_ticket_of_a_call_that_named_two_customers_is_nobodys(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.deflecting("sms", ticket_crm="shop")
    replica = world.replica()
    record = await contradicted(world, replica, premium, standard)
    await replica.deflect.on_deflect(record.id, HERE)
    await world.until(record, has_ticket(EntryState.KEPT))
    (ticket,) = world.crm.tickets.values()
    assert ticket.customer_id is None


async def test_a_call_that_named_two_customers_is_noted_with_neither(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.policy = replace(world.policy, notes=frozenset({"shop"}))
    replica = world.replica()
    replica.worker.open()
    record = await contradicted(world, replica, premium, standard)
    await replica.finish.on_end(record.id)
    record = await world.until(record, lambda found: found.outcome is not None)
    await asyncio.sleep(1.0)
    assert (record.note, world.crm.notes) == (None, {})


async def test_erasing_an_address_erases_the_consents_however_they_spelled_it(
    world: World,
) -> None:
    world.deflecting("mail")
    reach = {"mail": Reaching("email")}
    world.policy = replace(world.policy, deflection=replace(world.policy.deflection, reach=reach))
    replica = world.replica()
    record = await replica.deflect.without_call("crm", Wish(by="api:crm", to="Ada@Example.com"))
    await world.until(record, is_in(MessageState.SENT))
    assert [envelope.to for envelope in world.channels["mail"].taken] == ["Ada@Example.com"]
    assert len(await consents(world)) == 1
    erase = Erase(replica.book.ledger, replica.customers, Numbering("DE"))
    await erase.on_request(None, "ada@example.com")
    assert await consents(world) == []


@pytest.mark.parametrize("key", ["1", "9"])
async def test_who_presses_a_key_is_still_on_the_phone(
    world: World, premium: Customer, key: str
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    await asyncio.sleep(1200.0)
    chosen = await replica.deflect.on_choice(record.id, key, None)
    assert chosen.record.idle_at >= record.idle_at + 1200.0


async def test_a_wish_of_the_flow_keeps_the_call_alive(world: World, premium: Customer) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    await asyncio.sleep(1200.0)
    asked = await replica.deflect.on_deflect(record.id, HERE)
    assert asked.idle_at >= record.idle_at + 1200.0


async def test_the_same_wish_after_an_erasure_is_a_new_one(world: World) -> None:
    world.deflecting("sms")
    replica = world.replica()
    wish = Wish(by="api:crm", to="+4915112345678")
    first = await replica.deflect.without_call("crm", wish)
    await world.until(first, is_in(MessageState.SENT))
    await replica.book.ledger.erase("+4915112345678")
    again = [await replica.deflect.without_call("crm", wish) for _ in range(2)]
    assert {one.id for one in again}.isdisjoint({first.id})
    assert len({one.id for one in again}) == 1


async def test_what_leads_to_a_message_lives_as_long_as_its_call(
    world: World, premium: Customer
) -> None:
    world.deflecting("sms")
    replica = world.replica()
    record = await called(world, replica, premium)
    world.channels["sms"].hold()
    record = await replica.deflect.on_deflect(record.id, HERE)
    keys = [world.store.key("alias", alias) for alias in record.aliases]
    for key in keys:
        await world.store.client.pexpire(key, 500)
    world.channels["sms"].release()
    await world.until(record, is_in(MessageState.SENT))
    lives = [await world.store.client.pttl(key) for key in keys]
    assert min(lives) > 50_000
