"""Where a number does not tell whether it takes texts, somebody is asked, and never for long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Line, Numbering, Phone
from broker.domain.errors import PermanentError, TemporaryError
from broker.domain.recipients import LineRules
from broker.metrics import Metrics
from broker.stores.customers import RedisCustomerCache
from broker.stores.ledger import RedisLedger
from broker.stores.lines import RedisLineBook
from broker.stores.shared import RedisCounters
from broker.testing.fake_number_lookup import FakeNumberLookup
from broker.usecases.erase import Erase
from broker.usecases.number_check import NumberCheck

if TYPE_CHECKING:
    from tests.unit.usecases.conftest import World

AMERICAN, ANOTHER = Phone.from_e164("+12025550143"), Phone.from_e164("+12025550144")
GERMAN = Phone.from_e164("+4915112345678")
STRICT = LineRules(send_to_unknown=False, send_to_voip=False)


@dataclass
class Asking:
    """A check with a fake provider; `other` is that of another replica."""

    world: World
    provider: FakeNumberLookup = field(default_factory=FakeNumberLookup)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.check, self.other = self._made(), self._made()

    def _made(self) -> NumberCheck:
        store = self.world.store
        lines, counters = RedisLineBook(store), RedisCounters(store)
        return NumberCheck(
            self.provider, lines, counters, self.metrics, STRICT, 0.5, budget_per_day=3
        )

    def says(self, line: Line | None) -> None:
        self.provider.lines = {AMERICAN.e164: line} if line is not None else {}

    def counted(self, result: str) -> float:
        name = "broker_number_lookups_total"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0.0


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(world)


@pytest.mark.parametrize(
    ("line", "strict", "lenient"),
    [
        (Line.MOBILE, None, None),
        (Line.FIXED, "fixed_line", "fixed_line"),
        (Line.TOLL_FREE, "toll_free", "toll_free"),
        (Line.PREMIUM_RATE, "premium_rate", "premium_rate"),
        (Line.OTHER, "no_mobile", "no_mobile"),
        (Line.VOIP, "voip", None),
        (Line.FIXED_OR_MOBILE, "unknown_line", None),
        (None, "unknown_line", None),
    ],
)
async def test_the_line_and_the_operator_decide(
    asking: Asking, line: Line | None, strict: str | None, lenient: str | None
) -> None:
    asking.says(line)
    assert await asking.check.refusal(AMERICAN) == strict
    kind = replace(asking.check, rules=LineRules())
    assert await kind.refusal(AMERICAN) == lenient
    assert asking.provider.asked == [AMERICAN.e164]


async def test_nobody_is_asked_where_the_number_itself_tells(asking: Asking) -> None:
    for number in (GERMAN, Phone.from_e164("+493023125001"), Phone.from_e164("+18005550199")):
        assert await asking.check.refusal(number) is None
    assert asking.provider.asked == []


async def test_without_a_number_lookup_nothing_is_refused(asking: Asking) -> None:
    assert await replace(asking.check, lookup=None).refusal(AMERICAN) is None


async def test_an_answer_is_shared_by_all_replicas(asking: Asking) -> None:
    asking.says(Line.FIXED)
    assert await asking.check.refusal(AMERICAN) == "fixed_line"
    assert await asking.other.refusal(AMERICAN) == "fixed_line"
    assert asking.provider.asked == [AMERICAN.e164]
    assert (asking.counted("asked"), asking.counted("cached")) == (1, 1)


async def test_that_nobody_knows_is_an_answer_too(asking: Asking) -> None:
    for _ in range(2):
        assert await asking.check.refusal(AMERICAN) == "unknown_line"
    assert asking.provider.asked == [AMERICAN.e164]
    assert (asking.counted("unknown"), asking.counted("cached")) == (1, 1)


async def test_a_slow_provider_costs_no_more_than_its_time(asking: Asking) -> None:
    asking.says(Line.MOBILE)
    asking.provider.delay_s = 30.0
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await asking.check.refusal(AMERICAN) == "unknown_line"
    assert loop.time() - began < 0.7
    asking.provider.delay_s = 0.0
    assert await asking.check.refusal(AMERICAN) is None


@pytest.mark.parametrize(
    "fault", [TemporaryError("busy"), PermanentError("HTTP 404"), KeyError("a bug")]
)
async def test_a_provider_that_fails_knows_nothing_and_is_asked_again(
    asking: Asking, fault: Exception
) -> None:
    asking.says(Line.FIXED)
    asking.provider.fault = fault
    assert await asking.check.refusal(AMERICAN) == "unknown_line"
    assert asking.counted("failed") == 1
    asking.provider.fault = None
    assert await asking.check.refusal(AMERICAN) == "fixed_line"


async def test_all_replicas_spend_one_budget_and_then_nobody_is_asked(asking: Asking) -> None:
    numbers = [Phone.from_e164(f"+1202555014{n}") for n in range(6)]
    checks = [asking.check, asking.other] * 3
    told = [await check.refusal(number) for check, number in zip(checks, numbers, strict=True)]
    assert told == ["unknown_line"] * 6
    assert len(asking.provider.asked) == 3
    assert asking.counted("over_budget") == 3
    assert await asking.check.refusal(numbers[0]) == "unknown_line"
    assert asking.counted("cached") == 1


async def test_a_question_without_an_answer_is_not_paid_for(asking: Asking) -> None:
    asking.provider.fault = TemporaryError("busy")
    for _ in range(5):
        await asking.check.refusal(AMERICAN)
    assert len(asking.provider.asked) == 5
    assert asking.counted("over_budget") == 0


async def test_while_the_store_is_away_nobody_counts_so_nobody_is_asked(
    world: World, asking: Asking
) -> None:
    world.store.away = True
    assert await asking.check.refusal(AMERICAN) == "unknown_line"
    assert asking.provider.asked == []
    assert asking.counted("unavailable") == 1


async def test_what_was_told_of_an_erased_person_is_gone(world: World, asking: Asking) -> None:
    asking.says(Line.FIXED)
    await asking.check.refusal(AMERICAN)
    await asking.check.refusal(ANOTHER)
    ledger = RedisLedger(world.store, world.clock, lease_s=1.0, retention_s=60)
    erase = Erase(ledger, RedisCustomerCache(world.store, world.clock), Numbering("DE"))
    await erase.on_request(AMERICAN.e164, None)
    lines = RedisLineBook(world.store)
    assert await lines.recall(AMERICAN) is None
    assert await lines.recall(ANOTHER) is not None
