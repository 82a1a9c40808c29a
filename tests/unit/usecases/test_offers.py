"""Callers are offered a channel: when the flow asks, and by itself with the result of a lookup."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.conditions import When, at_least
from broker.domain.deflection import Deflection, Reaching, Wish
from broker.domain.errors import BadInputError, TemporaryError, UnknownCallError
from broker.domain.figures import EVERY_NUMBER, Figures
from broker.domain.offering import Asked
from broker.domain.offers import Rule, Rules
from broker.domain.progress import Policy
from broker.domain.recipients import Recipients
from broker.domain.record import Offered
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import Replica, World

MOBILE, LANDLINE = "+4915112345678", "+493023125001"
SMS = Reaching("phone", Recipients(frozenset({"DE"}), home_region="DE"))
DEFLECTION = Deflection(order=("sms",), reach={"sms": SMS})
YES = Offered(offer=True, rule="it", channels=("sms",))


def rule(name: str = "it", *, offers: bool = True, prompts: int = 0, **when: Any) -> Rule:
    heard = at_least("min_prompts_heard", prompts) if prompts else None
    return Rule(name, offers, When(**when).conditions(), heard)


@pytest.fixture
def world(world: World) -> World:
    """With one channel for deflections and one rule that offers it to everybody."""
    world.policy = Policy(deflection=DEFLECTION)
    world.offer_rules = Rules((rule(),))
    world.platform.tells_figures = True
    return world


async def decided(world: World, replica: Replica, caller: str = MOBILE) -> Record:
    record = await world.starts(replica, caller)
    return await world.until(record, lambda found: found.steps[0].done)


async def asks(replica: Replica, record: Record, **said: Any) -> Offered:
    _, offer = await replica.offers.on_offer(record.id, Asked(**said))
    return offer


async def trace(replica: Replica, record: Record) -> list[dict[str, Any]]:
    notes = await replica.book.ledger.trace(record.id)
    return [dict(note) for note in notes if note["event"] == "offer_asked"]


async def test_the_offer_is_answered_and_shown_in_the_session(world: World) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    assert "ivr.offer" not in world.session(record)
    assert await asks(replica, record) == YES
    await world.until(record, lambda _: world.session(record).get("ivr.offer") is True)
    assert world.session(record)["ivr.offer_forced"] is False
    assert "ivr.offer_text" not in world.session(record)


async def test_it_may_be_asked_again_and_say_something_else(world: World) -> None:
    world.offer_rules = Rules((rule(min_ewt_seconds=60),))
    replica = world.replica()
    record = await decided(world, replica)
    assert (await asks(replica, record, ewt_seconds=10)).rule == "no_rule"
    await world.until(record, lambda _: world.session(record).get("ivr.offer") is False)
    assert await asks(replica, record, ewt_seconds=90) == YES
    await world.until(record, lambda _: world.session(record).get("ivr.offer") is True)


async def test_the_same_answer_is_not_written_twice(world: World) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    for _ in range(3):
        await asks(replica, record)
        await asyncio.sleep(0.2)
    shown = [write for write in world.platform.writes if "ivr.offer" in write.variables]
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("when", "said", "figures"),
    [
        ({"min_ewt_seconds": 60}, {"ewt_seconds": 61}, Figures(ewt_seconds=5)),
        ({"min_ewt_seconds": 60}, {}, Figures(ewt_seconds=61)),
        ({"max_agents_available": 0}, {"agents_available": 0}, Figures(agents_available=5)),
        ({"max_agents_available": 0}, {}, Figures(agents_available=0)),
        ({"open": False}, {}, Figures(open={EVERY_NUMBER: False})),
        ({"branch": ("billing",)}, {"branch": "billing"}, Figures()),
        ({"reason": ("invoice",)}, {"reason": "invoice"}, Figures()),
        ({"min_calls_now": 1}, {}, Figures()),
        ({"caller": ("+4915",)}, {}, Figures()),
        ({"called": ("+4969",)}, {}, Figures()),
        ({"share": 1.0}, {}, Figures()),
    ],
)
async def test_what_the_flow_says_goes_before_what_the_platform_tells(
    world: World, when: dict[str, Any], said: dict[str, Any], figures: Figures
) -> None:
    world.offer_rules, world.platform.now = Rules((rule(**when),)), figures
    replica = world.replica()
    assert await asks(replica, await decided(world, replica), **said) == YES


async def test_live_calls_are_counted_over_all_replicas(world: World) -> None:
    world.offer_rules = Rules((rule(min_calls_now=3),))
    replica, other = world.replica(), world.replica()
    record = await decided(world, replica)
    assert not (await asks(replica, record)).offer
    others = [await world.starts(other, MOBILE) for _ in range(2)]
    assert (await asks(replica, record)).offer
    await other.finish.on_end(others[0].id, None)
    assert not (await asks(replica, record)).offer


async def test_the_rules_see_the_customer_and_not_one_who_is_in_doubt(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.offer_rules = Rules((rule(premium=True),))
    world.crm.add(premium, MOBILE)
    world.crm.add(standard, references=["1000001"])
    replica = world.replica()
    record = await decided(world, replica)
    assert await asks(replica, record) == YES
    event = CallStarted(record.id)
    await replica.identify.on_reference(event, "1000001")
    record = await world.until(record, lambda found: found.contradicted)
    assert (await asks(replica, record)).rule == "no_rule"


async def test_only_channels_that_reach_the_caller_are_offered(world: World) -> None:
    replica = world.replica()
    assert (await asks(replica, await decided(world, replica, LANDLINE))).rule == "no_channel"


async def test_a_reference_that_was_typed_is_a_prompt_that_was_heard(world: World) -> None:
    world.offer_rules = Rules((rule(prompts=1),))
    replica = world.replica()
    record = await decided(world, replica)
    assert (await asks(replica, record)).rule == "first_action"
    assert (await asks(replica, record, prompts_heard=1)).rule == "it"
    await replica.identify.on_reference(CallStarted(record.id), "1234567")
    assert (await asks(replica, record)).rule == "it"
    assert (await asks(replica, record, prompts_heard=0)).rule == "first_action"


async def test_who_has_his_message_is_not_offered_another(world: World) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    await replica.deflect.on_deflect(record.id, Wish(by="flow"))
    assert await asks(replica, record) == Offered(offer=False, rule="already_deflected")


async def test_after_the_call_nothing_is_offered_and_nothing_changes(world: World) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    await replica.finish.on_end(record.id, None)
    assert await asks(replica, record) == Offered(offer=False, rule="call_over")
    assert await trace(replica, record) == []


async def test_an_unknown_call_and_deflection_that_is_off_are_refused(world: World) -> None:
    replica = world.replica()
    with pytest.raises(UnknownCallError):
        await replica.offers.on_offer("nobody", Asked())
    world.policy = Policy()
    replica = world.replica()
    with pytest.raises(BadInputError) as refused:
        await replica.offers.on_offer("nobody", Asked())
    assert refused.value.code == "deflection_off"


async def test_a_platform_that_is_late_costs_three_tenths_and_the_trace_says_so(
    world: World,
) -> None:
    world.offer_rules = Rules((rule("wait", min_ewt_seconds=60), rule()))
    world.platform.now = Figures(ewt_seconds=600)
    replica = world.replica()
    record = await decided(world, replica)
    world.platform.delay_s = 1.0
    began = world.clock.monotonic()
    assert await asks(replica, record, branch="billing") == YES
    assert world.clock.monotonic() - began < 0.4
    (note,) = await trace(replica, record)
    assert note["missing"] == ["the platform did not tell its figures in time"]
    assert (note["rule"], note["offer"], note["branch"]) == ("it", True, "billing")


async def test_the_platform_is_not_asked_for_what_no_rule_needs_or_the_flow_says(
    world: World,
) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    await asks(replica, record)
    world.offer_rules = Rules((rule(min_ewt_seconds=1),))
    await asks(replica, record, ewt_seconds=5)
    assert world.platform.asked_figures == 0
    await asks(replica, record)
    assert world.platform.asked_figures == 1


async def test_with_auto_offer_the_first_write_shows_the_offer_too(
    world: World, premium: Customer
) -> None:
    world.auto_offer = True
    world.offer_rules = Rules((rule("vip", premium=True), rule("no", offers=False)))
    world.crm.add(premium, MOBILE)
    replica = world.replica()
    record = await decided(world, replica)
    (write,) = world.platform.writes
    assert write.variables["ivr.lookup"] == "found"
    assert write.variables["ivr.offer"] is True
    other = await decided(world, replica, "+4915112345679")
    assert world.session(other)["ivr.offer"] is False
    assert record.offered == Offered(offer=True, rule="vip", channels=("sms",))


async def test_with_auto_offer_each_result_brings_its_own_offer(world: World) -> None:
    world.auto_offer = True
    world.offer_rules = Rules((rule(prompts=1),))
    replica = world.replica()
    record = await decided(world, replica)
    assert record.offered == Offered(offer=False, rule="first_action")
    await replica.identify.on_reference(CallStarted(record.id), "1234567")
    record = await world.until(record, lambda found: len(found.steps) == 2 and found.steps[1].done)
    assert record.offered == YES
    assert world.session(record)["ivr.offer"] is True


async def test_with_auto_offer_figures_are_asked_for_beside_the_lookup(world: World) -> None:
    world.auto_offer = True
    world.offer_rules = Rules((rule(min_ewt_seconds=60),))
    world.platform.now = Figures(ewt_seconds=61)
    world.crm.delay_s, world.platform.delay_s = 0.04, 0.04
    replica = world.replica()
    began = world.clock.monotonic()
    record = await decided(world, replica)
    assert record.offered == YES
    assert world.clock.monotonic() - began < 0.04 + 0.04 + 0.03, "lookup, write, and no third wait"


async def test_with_auto_offer_a_step_that_brings_nothing_new_changes_no_offer(
    world: World,
) -> None:
    replica = world.replica()
    record = await decided(world, replica)
    assert record.offered is None
    nothing_new = await replica.offers.after(lambda known: known)
    assert nothing_new(record) is record


@pytest.mark.parametrize("fault", [TemporaryError("babelforce: 503"), RuntimeError("boom")])
async def test_with_auto_offer_a_platform_without_figures_costs_no_call_its_answer(
    world: World, fault: Exception
) -> None:
    world.auto_offer = True
    world.offer_rules = Rules((rule(min_ewt_seconds=60),))
    world.platform.fail_figures(fault)
    replica = world.replica()
    record = await decided(world, replica)
    assert world.session(record)["ivr.lookup"] == "not_found"
    assert world.session(record)["ivr.offer"] is False
