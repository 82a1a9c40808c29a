"""A caller whose number no CRM knows types his reference once: his next call is found by number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker.domain.call import Numbering
from broker.domain.customer import Customer
from broker.domain.errors import TemporaryError
from broker.domain.messages import Tracking
from broker.domain.recipients import Recipients
from broker.domain.record import NUMBER
from broker.testing.fake_crm import FakeCrm
from broker.usecases.erase import Erase
from broker.usecases.identify import CallStarted
from broker.usecases.lookup import Crm

if TYPE_CHECKING:
    from broker.domain.record import Record, Step
    from tests.unit.usecases.conftest import Replica, World

REFERENCE, BENS = "2001001", "3001001"
MOBILE = "+4917604069000"
KEPT_S = 3600.0


async def _typed(
    world: World, replica: Replica, *typed: str, caller: str = MOBILE, **more: Any
) -> Record:
    """A call in which all this was typed, and which is over; what it teaches is kept."""
    record = await world.starts(replica, caller, **more)
    await world.until(record, lambda call: call.step(NUMBER).done)
    for one in typed:
        known, name = await replica.identify.on_reference(CallStarted(record.id), one)
        assert known is not None
        await world.until(known, lambda call, name=name: call.step(name).done)  # type: ignore[misc]
    await replica.finish.on_end(record.id)
    over = await world.until(record, lambda call: call.outcome)
    await asyncio.sleep(0.01)
    return over


async def _calls(world: World, replica: Replica, caller: str = MOBILE) -> Step:
    """The number step of one more call."""
    record = await world.starts(replica, caller)
    return (await world.until(record, lambda call: call.step(NUMBER).done)).step(NUMBER)


def _learning(world: World, premium: Customer, standard: Customer) -> Replica:
    world.learn_s = KEPT_S
    world.crm.add(premium, references=[REFERENCE])
    world.crm.add(standard, references=[BENS])
    return world.replica()


async def _keys(world: World) -> list[bytes]:
    return [key async for key in world.store.client.scan_iter("*learned:*")]


async def test_second_call_is_found_by_number(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    first = await _typed(world, replica, REFERENCE)
    assert first.step(NUMBER).lookup == "not_found"
    record = await world.starts(replica, MOBILE)
    record = await world.until(record, lambda call: call.step(NUMBER).done)
    step = record.step(NUMBER)
    assert (step.lookup, step.route, step.reason, step.source) == (
        "found",
        "premium",
        "learned",
        "shop",
    )
    assert step.learned
    assert world.session(record)["ivr.lookup"] == "found"
    assert record.customer == premium


async def test_what_the_crm_knows_now_is_told(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    world.crm.forget()
    world.crm.add(Customer(premium.id, premium=False), references=[REFERENCE])
    assert (await _calls(world, replica)).route == "standard"


async def test_without_the_setting_nothing_is_learned_and_the_store_is_not_asked(
    world: World, premium: Customer, standard: Customer
) -> None:
    _learning(world, premium, standard)
    world.learn_s = None
    replica = world.replica()
    await _typed(world, replica, REFERENCE)
    assert await _keys(world) == []
    assert (await _calls(world, replica)).lookup == "not_found"
    assert world.crm.asked == [MOBILE, REFERENCE, MOBILE]


async def test_withheld_number_is_never_learned(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE, anonymous=True)
    assert await _keys(world) == []
    assert (await _calls(world, replica)).lookup == "not_found"


async def test_number_is_not_learned_from_two_customers_in_one_call(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    over = await _typed(world, replica, REFERENCE, BENS)
    assert over.contradicted
    assert (await _calls(world, replica)).lookup == "not_found"


async def test_two_customers_on_one_telephone_are_forgotten_for_a_time(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    await _typed(world, replica, BENS)
    assert (await _calls(world, replica)).lookup == "not_found"
    await _typed(world, replica, REFERENCE)
    assert (await _calls(world, replica)).lookup == "not_found", "nothing is learned of it again"


async def test_a_reference_that_nobody_has_any_more_is_forgotten(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    world.crm.forget()
    assert (await _calls(world, replica)).lookup == "not_found"
    assert await _keys(world) == []


async def test_a_reference_that_is_somebody_elses_now_is_forgotten(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    world.crm.forget()
    world.crm.add(standard, references=[REFERENCE])
    assert (await _calls(world, replica)).lookup == "not_found"
    assert await _keys(world) == []


class _UnevenCrm(FakeCrm):
    """Answers numbers after `number_s`, and references after `slow_s`."""

    number_s = 0.0
    slow_s = 0.0

    async def find_by_phone(self, phone: Any) -> Any:
        await asyncio.sleep(self.number_s)
        return await super().find_by_phone(phone)

    async def find_by_reference(self, reference: Any) -> Any:
        await asyncio.sleep(self.slow_s)
        return await super().find_by_reference(reference)


async def test_slow_learned_lookup_keeps_the_deadline_and_is_as_if_nothing_was_learned(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.crm = crm = _UnevenCrm(world.clock)
    world.crms = [Crm("shop", crm, timeout_s=1.0)]
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    crm.slow_s = 30.0
    step = await _calls(world, replica)
    await asyncio.sleep(0.01)
    left = [task.get_name() for task in asyncio.all_tasks()]
    assert "ask for what was learned" not in left
    assert (step.lookup, step.route) == ("not_found", "reference")
    assert step.decided_at is not None
    assert step.decided_at - step.received_at < world.deadlines.lookup_s + 0.01
    crm.slow_s = 0.02
    assert (await _calls(world, replica)).lookup == "found", "it was not forgotten"


async def test_who_is_known_by_number_goes_before_what_was_learned_sooner(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.crm = crm = _UnevenCrm(world.clock)
    world.crms = [Crm("shop", crm, timeout_s=1.0)]
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    crm.number_s = 0.02
    crm.add(standard, MOBILE)
    step = await _calls(world, replica)
    assert (step.lookup, step.learned, step.route) == ("found", False, "self_service")
    crm.number_s = 0.2
    step = await _calls(world, replica)
    assert (step.lookup, step.learned, step.route) == ("found", False, "self_service"), "late"


async def test_a_learned_lookup_does_not_delay_who_is_known(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.crm = crm = _UnevenCrm(world.clock)
    world.crms = [Crm("shop", crm, timeout_s=1.0)]
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    crm.add(standard, MOBILE)
    crm.slow_s = 30.0
    step = await _calls(world, replica)
    assert step.decided_at is not None
    assert step.decided_at - step.received_at < 0.01


async def test_learned_lookup_is_asked_beside_the_others_and_counts_late_with_them(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    world.crm.delay_s = 0.2
    record = await world.starts(replica, MOBILE)
    step = (await world.until(record, lambda call: call.informed)).step(NUMBER)
    assert (step.lookup, step.learned) == ("found", True)
    assert step.decided_at is not None
    assert 0.2 <= step.decided_at - step.received_at < 0.3, "not one after the other"


async def test_crm_that_fails_leaves_what_was_learned(
    world: World, premium: Customer, standard: Customer
) -> None:
    other = _UnevenCrm(world.clock)
    world.crms.append(Crm("desk", other, timeout_s=1.0))
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    other.number_s = 0.02
    other.fail(TemporaryError("busy"))
    assert (await _calls(world, replica)).lookup == "error", "only all of them can say: nobody"
    world.crm.fail(None, TemporaryError("busy"))
    assert (await _calls(world, replica)).lookup == "not_found"
    assert (await _calls(world, replica)).lookup == "found"


async def test_store_that_cannot_tell_is_as_if_nothing_was_learned(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    road = world.own_road()
    shaky = world.replica(road)
    road.unreadable = True
    assert (await _calls(world, shaky)).lookup == "not_found"
    road.unreadable = False
    assert (await _calls(world, shaky)).lookup == "found"


async def test_what_was_learned_ends_although_it_is_used(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    [key] = await _keys(world)
    await world.store.client.pexpire(key, 5_000)
    assert (await _typed(world, replica)).step(NUMBER).learned
    assert await world.store.client.pttl(key) <= 5_000
    await _typed(world, replica, REFERENCE)
    assert await world.store.client.pttl(key) > 5_000


async def test_message_never_goes_to_a_learned_number(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, BENS)
    record = await world.starts(replica, MOBILE)
    record = await world.until(record, lambda call: call.step(NUMBER).done)
    assert record.step(NUMBER).learned
    texting = Tracking(
        url_template="https://shop.example.com/{track_id}",
        channel="sms",
        recipients=Recipients(frozenset({"DE"})),
    )
    assert texting.place(record) is None


async def test_session_write_that_failed_first_does_not_make_it_his_number(
    world: World, premium: Customer, standard: Customer
) -> None:
    replica = _learning(world, premium, standard)
    await _typed(world, replica, REFERENCE)
    world.platform.fail(TemporaryError("busy"))
    record = await world.starts(replica, MOBILE)
    record = await world.until(record, lambda call: call.step(NUMBER).done)
    assert record.step(NUMBER).reason == "write_failed"
    _, name = await replica.identify.on_reference(CallStarted(record.id), "0000001")
    record = await world.until(record, lambda call: call.step(name).done)
    assert record.step(NUMBER).written == "ok", "the second write made up for the first"
    assert record.step(NUMBER).reason is None
    assert not record.step(NUMBER).owns_number


async def test_erasing_the_customer_forgets_the_number_he_called_from(
    world: World, premium: Customer, standard: Customer
) -> None:
    for number, email in ((MOBILE, None), (None, premium.email)):
        replica = _learning(world, premium, standard)
        await _typed(world, replica, REFERENCE)
        assert len(await _keys(world)) == 1
        erase = Erase(replica.book.ledger, replica.customers, Numbering("DE"))
        await erase.on_request(number, email)
        assert await _keys(world) == []
        world.crm.forget()


async def test_shadows_are_compared_with_what_crms_said(
    world: World, premium: Customer, standard: Customer
) -> None:
    shadow = FakeCrm(world.clock)
    world.shadows = [Crm("new", shadow, timeout_s=1.0)]
    replica = _learning(world, premium, standard)
    shadow.add(premium, references=[REFERENCE])
    await _typed(world, replica, REFERENCE)
    assert (await _calls(world, replica)).learned
    await asyncio.sleep(1)
    tally = await replica.shadows.book.tally("new")
    assert dict(tally.results) == {"same": 3}
