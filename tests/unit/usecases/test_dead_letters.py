"""What an operator does about messages that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.domain.errors import AnswerLostError, PermanentError
from broker.usecases.dead_letters import DeadLetters

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.errors import BrokerError
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"
HOUR_S = 3600.0


async def _given_up(
    world: World, standard: Customer, fault: BrokerError
) -> tuple[Replica, Record, DeadLetters]:
    """A call that is over and whose message was given up."""
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(fault)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica, CALLER)
    await world.until(record, lambda call: call.messages and not call.messages[0].state.pending)
    await replica.finish.on_end(record.id)
    over = await world.until(record, lambda call: call.outcome)
    return replica, over, DeadLetters(replica.book.ledger, world.clock, HOUR_S)


async def test_failed_message_is_sent_exactly_once_more_and_the_outcome_stays(
    world: World, standard: Customer
) -> None:
    _, record, letters = await _given_up(world, standard, PermanentError("refused"))
    (letter,) = await letters.all()
    assert letter.id == f"{record.id}/message:tracking"
    assert await letters.retry(letter) is None
    after = await world.until(record, lambda call: call.messages[0].state == "sent")
    assert after.outcome == record.outcome == "failed"
    assert len(world.channel.taken) == 1
    assert await letters.all() == []


async def test_unknown_message_is_held_until_an_operator_decides(
    world: World, standard: Customer
) -> None:
    _, record, letters = await _given_up(world, standard, AnswerLostError("lost"))
    sent = len(world.channel.taken)
    (letter,) = await letters.all()
    assert await letters.retry(letter) is None
    after = await world.until(record, lambda call: call.messages[0].state == "sent")
    assert after.outcome == "message_unknown"
    assert len(world.channel.taken) == sent + 1


async def test_message_of_an_old_call_is_not_sent_again(world: World, standard: Customer) -> None:
    replica, _, _ = await _given_up(world, standard, PermanentError("refused"))
    letters = DeadLetters(replica.book.ledger, world.clock, 0.0)
    (letter,) = await letters.all()
    assert "max_age_h" in str(await letters.retry(letter))
    assert await letters.all() == [letter]
    assert world.channel.taken == []


async def test_dropped_letter_is_gone_and_its_message_stays_as_it_was(
    world: World, standard: Customer
) -> None:
    _, record, letters = await _given_up(world, standard, PermanentError("refused"))
    (letter,) = await letters.all()
    assert await letters.drop(letter) is None
    assert await letters.all() == []
    assert await letters.drop(letter) is not None
    assert (await world.until(record, lambda _: True)).messages[0].state == "failed"


async def test_letter_that_was_retried_meanwhile_is_not_sent_twice(
    world: World, standard: Customer
) -> None:
    _, record, letters = await _given_up(world, standard, PermanentError("refused"))
    (letter,) = await letters.all()
    assert await letters.retry(letter) is None
    await world.until(record, lambda call: call.messages[0].state == "sent")
    await letters.retry(letter)
    await world.until(record, lambda call: call.messages[0].state == "sent")
    assert len(world.channel.taken) == 1
