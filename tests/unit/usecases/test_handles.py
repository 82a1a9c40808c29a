"""A handle finds its message while it lives, and whatever else is asked finds nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.context import ContextRules
from broker.domain.deflection import Deflection
from broker.domain.errors import StoreUnavailableError
from broker.domain.message_templates import OURS
from broker.domain.messages import DEFLECTION, TRACKING, Message, handle_alias
from broker.domain.record import Over, Record
from broker.usecases.context import TellContext
from broker.usecases.handles import Handles, Landings

if TYPE_CHECKING:
    from tests.unit.usecases.conftest import World

HANDLE = "abcDEF0123456789-_xyzABC"
LIVES_S = 20.0


@pytest.fixture
async def handles(world: World) -> Handles:
    """Of a store that keeps one deflection, with the template `help` and in German."""
    ledger, now = world.replica().book.ledger, world.clock.time()
    message = Message(
        DEFLECTION,
        "sms",
        queued_at=now,
        due_at=now + 3600,
        to="+491713920001",
        template="help",
        language="de",
        handle=HANDLE,
        context={"order": "12"},
    )
    record = Record(
        "d1",
        now,
        now,
        over=Over.ENDED,
        over_at=now,
        standalone=True,
        messages=(Message(TRACKING, "email", now, now + 3600), message),
        aliases=(handle_alias(HANDLE),),
    )
    await ledger.accept(record)
    return Handles(ledger, world.clock, LIVES_S)


async def test_a_handle_finds_its_message_as_often_as_it_is_asked(handles: Handles) -> None:
    for _ in range(3):
        held = await handles.find(HANDLE)
        assert held is not None
        assert held.record.id == "d1"
        assert (held.message.purpose, held.message.handle) == (DEFLECTION, HANDLE)
        assert held.expires_at == held.message.queued_at + LIVES_S


@pytest.mark.parametrize("asked", ["A" * 24, HANDLE[:-1], f"{HANDLE}A", f"{HANDLE}\n", "", "d1"])
async def test_anything_else_finds_nothing(handles: Handles, asked: str) -> None:
    assert await handles.find(asked) is None


async def test_what_cannot_be_a_handle_is_not_looked_for(handles: Handles, world: World) -> None:
    world.store.unreadable = True
    assert await handles.find("nonsense") is None
    with pytest.raises(StoreUnavailableError):
        await handles.find(HANDLE)


async def test_the_alias_in_the_store_is_no_handle(handles: Handles) -> None:
    assert handle_alias(HANDLE) != HANDLE
    assert await handles.find(handle_alias(HANDLE)) is None


async def test_a_handle_ends_with_its_time(handles: Handles) -> None:
    await asyncio.sleep(LIVES_S - 0.01)
    assert await handles.find(HANDLE) is not None
    await asyncio.sleep(0.02)
    assert await handles.find(HANDLE) is None


async def test_the_link_leads_where_the_messages_template_says(handles: Handles) -> None:
    templates = {"help": replace(OURS, links=("faq",)), "deflection": OURS}
    landed = await Landings(handles, Deflection(templates=templates), ("faq", "tg")).find(HANDLE)
    assert landed is not None
    assert (landed.handle, landed.targets, landed.language) == (HANDLE, ("faq",), "de")


async def test_a_template_that_names_no_targets_offers_all(handles: Handles) -> None:
    rules = Deflection(templates={"help": OURS, "deflection": OURS})
    landed = await Landings(handles, rules, ("faq", "tg")).find(HANDLE)
    assert landed is not None
    assert landed.targets == ("faq", "tg")
    assert await Landings(handles, rules, ("faq",)).find("A" * 24) is None


async def test_a_template_that_was_taken_away_since_offers_all(handles: Handles) -> None:
    landed = await Landings(handles, Deflection(templates={}), ("faq", "tg")).find(HANDLE)
    assert landed is not None
    assert landed.targets == ("faq", "tg")


async def test_who_asks_for_contexts_is_counted_by_what_came_of_it(
    handles: Handles, world: World
) -> None:
    metrics = world.replicas[0].metrics
    contexts = TellContext(handles, ContextRules(), metrics)
    told = await contexts.of(HANDLE)
    assert told is not None
    assert told.context.data == {"order": "12"}
    assert told.call["call_id"] is None
    assert await contexts.of("A" * 24) is None
    assert await contexts.of("nonsense") is None
    count = metrics.contexts.labels
    assert (count("told")._value.get(), count("unknown")._value.get()) == (1, 2)
