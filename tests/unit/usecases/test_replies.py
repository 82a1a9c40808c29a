"""What people write to us: matched by our words first, their number second, within the window."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import StoreUnavailableError
from broker.domain.guards import Forbidden
from broker.domain.identities import Identity
from broker.domain.message_templates import Approved
from broker.domain.messages import MessageState, Place, ReceiptState
from broker.domain.opt_outs import Keyword
from broker.domain.people import hashed
from broker.ports import Inbound
from broker.testing.fake_links import FakeLinks
from broker.usecases.compose import Compose
from broker.usecases.tracking import TrackingLinks
from tests.unit.usecases.told import LOOK_BACK_S, MOBILE, Told, message, state

if TYPE_CHECKING:
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import World

OTHER = "+4915112345679"
USER_ID = "DE.13491208655302741918"
APPROVED = Approved("ivr", parameters=("link",))
_IDS = count()


def wrote(text: str = "thank you", sender: str = MOBILE, reply_to: str | None = None) -> Inbound:
    return Inbound(sender, text, f"in-{next(_IDS)}", reply_to)


@pytest.fixture
def told(world: World) -> Told:
    return Told(world)


async def now(told: Told, record: Record) -> Record:
    found = await told.replica.book.ledger.find(record.id)
    assert found is not None
    return found


async def test_an_answer_to_a_quoted_message_is_its_reply_whoever_sends_it(told: Told) -> None:
    record = await told.sent()
    provider_id = message(record).provider_id
    await told.hears("whatsapp", wrote(sender=USER_ID, reply_to=provider_id))
    replied = await now(told, record)
    assert state(replied) is MessageState.REPLIED
    assert replied.identities == (Identity("user_id", USER_ID),)
    await told.hears("whatsapp", wrote(sender=USER_ID))
    assert told.heard("whatsapp", "replied") == 2, "now he is known by that name"


async def test_a_handle_in_the_text_goes_before_the_number(told: Told) -> None:
    first = await told.sent()
    second = await told.sent()
    handle = message(first).handle
    await told.hears("whatsapp", wrote(f"Hello, about {handle}.", sender=OTHER))
    assert state(await now(told, first)) is MessageState.REPLIED
    assert state(await now(told, second)) is MessageState.SENT
    assert (await now(told, first)).identities == (Identity("phone", OTHER),)


async def test_what_the_provider_knows_to_be_a_keyword_is_one_whatever_it_says(told: Told) -> None:
    record = await told.sent()
    await told.hears("whatsapp", replace(wrote("basta"), keyword=Keyword.STOP))
    assert await told.opt_outs.stopped([hashed(MOBILE)])
    await told.hears("whatsapp", replace(wrote("stop it, write again"), keyword=Keyword.START))
    assert not await told.opt_outs.stopped([hashed(MOBILE)])
    assert state(await now(told, record)) is MessageState.SENT
    await told.hears("whatsapp", replace(wrote("what?"), keyword=Keyword.HELP))
    outcomes = [told.heard("whatsapp", outcome) for outcome in ("stop", "start", "help")]
    assert outcomes == [1, 1, 1]


async def test_whoever_came_back_under_another_number_is_erased_by_it(told: Told) -> None:
    record = await told.sent()
    await told.hears("whatsapp", wrote(str(message(record).handle), sender=OTHER))
    await told.replica.book.ledger.erase(OTHER)
    assert await told.replica.book.ledger.find(record.id) is None


async def test_an_answer_without_a_reference_belongs_to_the_last_message_to_its_number(
    told: Told,
) -> None:
    first = await told.sent()
    second = await told.sent()
    await told.hears("whatsapp", wrote())
    assert state(await now(told, first)) is MessageState.SENT
    assert state(await now(told, second)) is MessageState.REPLIED
    assert (await now(told, second)).identities == ()
    assert told.heard("whatsapp", "replied") == 1


@pytest.mark.parametrize("quoting", [True, False])
async def test_an_answer_after_the_look_back_is_nobodys(told: Told, quoting: bool) -> None:
    record = await told.sent()
    await told.world.clock.sleep(LOOK_BACK_S + 1)
    known = message(record).provider_id if quoting else None
    await told.hears("whatsapp", wrote(reply_to=known))
    assert state(await now(told, record)) is MessageState.SENT
    assert told.heard("whatsapp", "nobody") == 1


@pytest.mark.parametrize(
    "written",
    [wrote(sender=OTHER), wrote("A" * 24, sender=OTHER), wrote(sender=OTHER, reply_to="wamid.x")],
    ids=["a number", "a handle", "a quote"],
)
async def test_what_answers_none_of_our_messages_is_nobodys(told: Told, written: Inbound) -> None:
    record = await told.sent()
    await told.hears("whatsapp", written)
    await told.hears("sms", wrote())
    assert await now(told, record) == record
    assert (told.heard("whatsapp", "nobody"), told.heard("sms", "nobody")) == (1, 1)


async def test_the_same_message_twice_is_taken_once(told: Told) -> None:
    record = await told.sent()
    callback = told.whatsapp.callback(inbound=(wrote(),))
    await told.tells("whatsapp", callback)
    once = await now(told, record)
    trace = await told.replica.book.ledger.trace(record.id)
    await told.world.clock.sleep(1)
    await told.tells("whatsapp", callback)
    assert await now(told, record) == once
    assert await told.replica.book.ledger.trace(record.id) == trace
    assert told.heard("whatsapp", "repeated") == 1


async def test_an_answer_settles_what_nobody_knew_and_is_not_undone_by_receipts(
    told: Told,
) -> None:
    record = await told.sent(Place("sms", MOBILE))
    await told.hears("whatsapp", wrote())
    for late in (ReceiptState.FAILED, ReceiptState.DELIVERED):
        await told.tells("whatsapp", told.whatsapp.callback(told.said(late)))
    assert state(await now(told, record)) is MessageState.REPLIED
    assert told.sms.attempts == []


async def test_stop_is_kept_for_all_the_names_of_who_sends_it(told: Told) -> None:
    record = await told.sent()
    provider_id = message(record).provider_id
    await told.hears("whatsapp", wrote(" Stop! ", sender=OTHER, reply_to=provider_id))
    for number in (MOBILE, OTHER):
        assert await told.opt_outs.stopped([hashed(number)])
    assert state(await now(told, record)) is MessageState.SENT, "that was no answer"
    later = await told.queued(Place("sms", MOBILE))
    later = await told.world.until(later, lambda known: not state(known).pending)
    assert (state(later), message(later).reason) == (MessageState.SUPPRESSED, "opted_out")


async def test_start_ends_a_stop_and_a_replayed_stop_does_not_come_back(told: Told) -> None:
    stop = told.sms.callback(inbound=(wrote("STOP"),))
    await told.tells("sms", stop)
    await told.hears("sms", wrote("START"))
    await told.tells("sms", stop)
    assert not await told.opt_outs.stopped([hashed(MOBILE)])
    assert [told.heard("sms", outcome) for outcome in ("stop", "start", "repeated")] == [1, 1, 1]


async def test_nobody_else_ends_a_stop_although_he_has_the_link(told: Told) -> None:
    record = await told.sent()
    await told.hears("whatsapp", wrote(f"My code: {message(record).handle}", sender=OTHER))
    await told.hears("whatsapp", wrote("STOP"))
    await told.hears("whatsapp", wrote("Yes", sender=OTHER))
    assert await told.opt_outs.stopped([hashed(MOBILE)])
    await told.hears("whatsapp", wrote("START"))
    assert not await told.opt_outs.stopped([hashed(MOBILE)])


async def test_yes_of_somebody_who_never_said_stop_is_an_answer(told: Told) -> None:
    record = await told.sent()
    await told.hears("whatsapp", wrote("Yes"))
    assert state(await now(told, record)) is MessageState.REPLIED


async def test_help_is_an_answer_that_is_counted_apart(told: Told) -> None:
    record = await told.sent()
    await told.hears("whatsapp", wrote("HELP"))
    assert state(await now(told, record)) is MessageState.REPLIED
    assert told.heard("whatsapp", "help") == 1
    assert len(told.whatsapp.attempts) == 1, "nothing is sent by us"


async def test_a_stop_that_could_not_be_kept_is_not_confirmed(told: Told) -> None:
    stop = told.sms.callback(inbound=(wrote("STOP"),))
    told.world.store.away = True
    with pytest.raises(StoreUnavailableError):
        await told.tells("sms", stop)
    told.world.store.away = False
    await told.tells("sms", stop)
    assert await told.opt_outs.stopped([hashed(MOBILE)])


async def test_who_is_talking_to_us_is_not_moved_to_a_channel_again(told: Told) -> None:
    await told.sent()
    await told.hears("whatsapp", wrote())
    second = await told.queued()
    second = await told.world.until(second, lambda known: not state(known).pending)
    reason = Forbidden.CONVERSATION_OPEN
    assert (state(second), message(second).reason) == (MessageState.SUPPRESSED, reason)


async def test_the_operator_may_want_that_all_the_same(world: World) -> None:
    world.rules = replace(world.rules, interrupts=True)
    told = Told(world)
    await told.sent()
    await told.hears("whatsapp", wrote())
    assert state(await told.sent()) is MessageState.SENT


async def test_somebody_who_wrote_unasked_is_in_no_conversation_of_ours(told: Told) -> None:
    await told.hears("whatsapp", wrote())
    assert state(await told.sent()) is MessageState.SENT


async def test_free_words_reach_who_wrote_in_the_last_day(told: Told) -> None:
    clock, channels = told.world.clock, told.world.channels
    links = TrackingLinks(FakeLinks(clock), clock, None, None, "direct")
    told.whatsapp.needs_template = True
    approved = replace(
        told.world.policy.deflection.templates["deflection"],
        approved={"whatsapp": APPROVED, "sms": APPROVED},
    )
    rules = replace(told.world.policy.deflection, templates={"deflection": approved})
    policy = replace(told.world.policy, deflection=rules)
    compose = Compose(channels, links, policy, "https://broker.example.com", told.talks)
    record = await told.queued()
    assert (await compose.envelope(record, message(record))).template is not None
    await told.hears("whatsapp", wrote())
    assert (await compose.envelope(record, message(record))).template is None
    assert await told.talks.open_for("sms", hashed(MOBILE)) == 0.0, "of this channel only"
    await clock.sleep(86_400 - 300)
    assert (await compose.envelope(record, message(record))).template is not None


async def test_an_erasure_ends_windows_and_conversations(told: Told) -> None:
    await told.sent()
    await told.hears("whatsapp", wrote())
    assert await told.talks.open_for("whatsapp", hashed(MOBILE)) > 0
    await told.replica.book.ledger.erase(MOBILE)
    assert await told.talks.open_for("whatsapp", hashed(MOBILE)) == 0.0
    assert state(await told.sent()) is MessageState.SENT
