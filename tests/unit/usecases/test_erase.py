"""A person is erased while his call is under way: nothing more is written, nothing is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker.domain.call import Numbering
from broker.domain.errors import BadInputError, TemporaryError
from broker.usecases.erase import Erase
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"


def _erase(replica: Replica) -> Erase:
    return Erase(replica.book.ledger, replica.customers, Numbering("DE"))


async def test_crm_that_answers_after_the_erasure_is_not_heard(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.crm.hold()
    first, second = world.replica(), world.replica()
    record = await world.starts(first, CALLER)
    await asyncio.sleep(0.01)
    assert (await _erase(second).on_request(CALLER, None)).calls == 1
    world.crm.release()
    await asyncio.sleep(2)
    assert world.crm.answered
    assert await second.book.ledger.find(record.id) is None
    assert f"s{record.id}" not in world.platform.sessions or not world.session(record)
    assert world.channel.taken == []


async def test_message_that_waits_for_its_next_attempt_is_never_sent(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(TemporaryError("busy"))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica, CALLER)
    await world.until(record, lambda call: call.messages and call.messages[0].attempts == 1)
    erased = await _erase(replica).on_request(None, " BEN@example.com ")
    assert erased.calls == 1
    await asyncio.sleep(2)
    assert world.channel.taken == []


async def test_repeats_of_an_erased_call_are_ignored(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica, CALLER)
    await _erase(replica).on_request("030 23125001", None)
    event = CallStarted(record.id, session_id=f"s{record.id}", from_=CALLER)
    assert await replica.identify.on_call_start(event) is None
    assert await replica.identify.on_reference(event, "1234567") == (None, "")
    assert await replica.identify.on_call_start(CallStarted(f"s{record.id}")) is None


async def test_erased_person_may_call_again(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    replica = world.replica()
    await world.starts(replica, CALLER)
    await _erase(replica).on_request(CALLER, None)
    again = await world.starts(replica, CALLER)
    await world.until(again, lambda call: call.informed)


async def test_what_is_no_valid_number_is_erased_as_it_came(world: World) -> None:
    replica = world.replica()
    number = f"0{uuid4().int % 1000}"
    await world.starts(replica, number)
    assert (await _erase(replica).on_request(number, None)).calls == 1


@pytest.mark.parametrize(
    ("number", "email", "code"),
    [
        (None, None, "missing_field"),
        (CALLER, "ada@example.com", "invalid_body"),
        ("anonymous", None, "invalid_body"),
        (None, "ada", "invalid_body"),
        (None, "ada@example.com, ben@example.com", "invalid_body"),
    ],
)
async def test_exactly_one_identity_is_needed(
    world: World, number: str | None, email: str | None, code: str
) -> None:
    with pytest.raises(BadInputError) as refused:
        await _erase(world.replica()).on_request(number, email)
    assert refused.value.code == code
    assert "ada" not in str(refused.value)
