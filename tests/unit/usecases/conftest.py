"""The use cases with the real ledger inside the process, and a fake of everything outside.

Time is fake too: what a test waits for comes at its exact moment, and at once.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from broker.domain.abandoned import Abandoned
from broker.domain.call import Numbering, ReferenceFormat
from broker.domain.customer import Customer, Folding
from broker.domain.deflection import Deflection, Reaching
from broker.domain.errors import StoreUnavailableError
from broker.domain.messages import Backoff, Tracking
from broker.domain.offers import Rules
from broker.domain.progress import Policy
from broker.domain.recipients import LineRules
from broker.domain.references import ReferenceLimits
from broker.domain.send_rules import SendRules
from broker.domain.shadow import COMPARED
from broker.domain.variables import Variables
from broker.metrics import Metrics
from broker.stores.connection import Store, open_store
from broker.stores.customers import RedisCustomerCache
from broker.stores.learned import RedisLearnedNumbers
from broker.stores.ledger import RedisLedger
from broker.stores.lines import RedisLineBook
from broker.stores.people import RedisConsents
from broker.stores.shadow import RedisShadowBook
from broker.stores.shared import RedisCounters
from broker.testing.fake_channel import FakeChannel
from broker.testing.fake_clock import FakeClock, FakeTimeLoop
from broker.testing.fake_crm import FakeCrm
from broker.testing.fake_links import FakeLinks
from broker.testing.fake_platform import FakePlatform
from broker.usecases.abandoned import GaveUp
from broker.usecases.book import Book
from broker.usecases.compose import Compose
from broker.usecases.crm_entries import CrmEntries
from broker.usecases.deflect import Deflect
from broker.usecases.deliver import Deliver
from broker.usecases.figures import LiveFigures
from broker.usecases.finish import Finish
from broker.usecases.hooks import Hooks
from broker.usecases.identify import CallStarted, Identify
from broker.usecases.learn import Learner
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.number_check import NumberCheck
from broker.usecases.offer import Offers
from broker.usecases.pacing import Pace
from broker.usecases.run import Deadlines
from broker.usecases.shadow import Shadows
from broker.usecases.step import StepJob
from broker.usecases.tracking import TrackingLinks
from broker.usecases.watch import Watch
from broker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    import redis.asyncio as aioredis

    from broker.domain.record import Record

PREMIUM = Customer(id="c1", email="ada@example.com", premium=True, track_id="T-1")
STANDARD = Customer(id="c2", email="ben@example.com", premium=False, track_id="T-2")
CALLER, OTHER = "+493023125001", "+496990009002"
LEASE_S = 0.3


class ShakyStore(Store):
    """A store that can be away: then everything asked of it fails, as it does with a dead Redis.

    Only calls can still be looked at, so that tests see what was kept.
    """

    away = False
    deaf = False
    """Everything asked of it happens, but its answer is lost."""
    unreadable = False
    """No call can be looked at."""
    standstill: asyncio.Event | None = None
    """Whatever is asked waits for it and fails then, as after SIGSTOP and SIGCONT."""
    slow_s = 0.0
    """How long each answer takes."""
    commits = 0
    proofs = 0
    """How often what was read had to last."""
    deaf_to_commit: int | None = None
    """The commit, counted from 1, of which the answer is lost."""

    async def run(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | float],
        *,
        within: float | None = None,
    ) -> Any:
        await asyncio.sleep(self.slow_s)
        if script == "find":
            return self._readable(await super().run(script, keys, args, within=within))
        if self.away:
            raise StoreUnavailableError("store: away", 1.0)
        if self.standstill is not None:
            await self.standstill.wait()
            raise StoreUnavailableError("store: no answer in time", 1.0)
        answer = await super().run(script, keys, args, within=within)
        self.commits += script == "commit"
        if self.deaf or self.commits == self.deaf_to_commit:
            self.deaf_to_commit = None
            raise StoreUnavailableError("store: deaf", 1.0)
        return answer

    async def stand_by_reads(self) -> None:
        self.proofs += 1
        await super().stand_by_reads()

    async def call(self, command: Awaitable[Any], *, within: float | None = None) -> Any:
        await asyncio.sleep(self.slow_s)
        return self._readable(await super().call(command, within=within))

    def _readable(self, answer: Any) -> Any:
        if self.unreadable:
            raise StoreUnavailableError("store: unreadable", 1.0)
        return answer


@dataclass
class Replica:
    """One broker process' worth of use cases."""

    worker: Worker
    book: Book
    identify: Identify
    finish: Finish
    watch: Watch
    metrics: Metrics
    shadows: Shadows
    hooks: Hooks
    customers: RedisCustomerCache
    deflect: Deflect
    figures: LiveFigures
    offers: Offers


@dataclass
class World:
    """Replicas that share a store, and what stands around them."""

    store: ShakyStore
    clock: FakeClock = field(default_factory=FakeClock)
    deadlines: Deadlines = field(
        default_factory=lambda: Deadlines(lookup_s=0.05, late_s=0.4, write_s=0.3, useful_s=2.0)
    )
    policy: Policy = field(default_factory=Policy)
    limits: ReferenceLimits = field(default_factory=ReferenceLimits)
    resend: frozenset[str] = frozenset()
    offer_rules: Rules = field(default_factory=Rules)
    auto_offer: bool = False
    channels: dict[str, FakeChannel] = field(default_factory=dict)
    """Besides `email`, which is `channel`."""
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, give_up_s=0.3))

    rules: SendRules = field(default_factory=SendRules)
    abandoned: Abandoned = field(default_factory=Abandoned)
    faulty: bool = False
    """Whether a fault of ours is planted: else no work may fail with an error nobody expects."""
    learn_s: float | None = None
    """How long numbers that no CRM knows are remembered; None = they are not."""

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock)
        self.crm = FakeCrm(self.clock)
        self.channel = FakeChannel(self.clock)
        self.crms: list[Crm] = [Crm("shop", self.crm, timeout_s=1.0)]
        self.shadows: list[Crm] = []
        self.replicas: list[Replica] = []

    def replica(self, store: ShakyStore | None = None) -> Replica:
        """One more broker on the same store; its worker has to be opened to claim and renew."""
        metrics, store = Metrics(), store or self.store
        ledger = RedisLedger(store, self.clock, lease_s=LEASE_S, retention_s=60)
        worker = Worker(ledger, self.clock, metrics, lease_s=LEASE_S)
        counters = RedisCounters(store)
        hooks, learner = Hooks(self.platform, counters, metrics), self._learner(store)
        book = Book(ledger, worker, metrics, (learner or hooks).call_over)
        agreed = RedisConsents(store)
        gave_up = GaveUp(self.policy.deflection, self.abandoned, agreed, self.clock)
        finish, references = Finish(book, self.clock, gave_up), ReferenceFormat()
        kept = RedisShadowBook(store, self.clock, retention_s=60)
        deadline_ms = round(self.deadlines.lookup_s * 1000)
        shadows = Shadows(self.shadows, kept, metrics, COMPARED, deadline_ms, self.deadlines.late_s)
        figures = LiveFigures(self.platform, self.clock)
        offers = Offers(book, self.clock, self.policy, lambda: self.offer_rules, figures)
        step = StepJob(
            book,
            self.clock,
            Lookup(self.crms, Folding(), self.clock, metrics, shadows=shadows, learner=learner),
            self.platform,
            counters,
            metrics,
            self.policy,
            Variables(),
            references,
            Pace(floor_s=0.01),
            self.deadlines,
            self.limits,
            offers=offers if self.auto_offer else None,
        )
        links = TrackingLinks(
            FakeLinks(self.clock), self.clock, "https://shop.example.com/{track_id}", None, "direct"
        )
        channels = {"email": self.channel, **self.channels}
        compose = Compose(channels, links, self.policy, "https://broker.example.com")
        deliver = Deliver(
            book,
            self.clock,
            channels,
            compose,
            self.backoff,
            resend=self.resend,
            rules=self.rules,
        )
        entries = CrmEntries(book, self.clock, {crm.name: crm.adapter for crm in self.crms})
        worker.run_with(
            {
                "step": step.run,
                "repair": step.repair,
                "message": deliver.run,
                "ticket": entries.run,
                "note": entries.run,
                "idle": finish.run,
                "poison": finish.bury,
            }
        )
        identify = Identify(
            book,
            self.clock,
            counters,
            metrics,
            self.policy,
            Numbering("DE"),
            references,
            self.limits,
            hooks,
        )
        watch = Watch(ledger, worker, self.clock)
        customers = RedisCustomerCache(store, self.clock, home_region="DE")
        lines = NumberCheck(None, RedisLineBook(store), counters, metrics, LineRules())
        deflect = Deflect(book, self.clock, counters, self.policy, Numbering("DE"), lines)
        made = Replica(
            worker,
            book,
            identify,
            finish,
            watch,
            metrics,
            shadows,
            hooks,
            customers,
            deflect,
            figures,
            offers,
        )
        self.replicas.append(made)
        return made

    def _learner(self, store: ShakyStore) -> Learner | None:
        if self.learn_s is None:
            return None
        numbers = RedisLearnedNumbers(store, self.clock)
        return Learner(numbers, ReferenceFormat(), self.learn_s)

    def own_road(self) -> ShakyStore:
        """The same store for one replica alone, to be cut off without the others."""
        return ShakyStore(self.store.client, "test", timeout_s=0.5)

    def tracking(self) -> None:
        """From now on standard customers get a tracking email."""
        template = "https://shop.example.com/{track_id}"
        self.policy = replace(self.policy, tracking=Tracking(url_template=template))

    def deflecting(self, *names: str, **more: Any) -> None:
        """From now on callers can be moved to these channels, which reach them by number."""
        self.channels = {name: FakeChannel(self.clock) for name in names}
        reach = {name: Reaching("phone") for name in names}
        rules = Deflection(order=names, reach=reach, keys={"1": "deflect"}, **more)
        self.policy = replace(self.policy, deflection=rules)

    async def starts(self, replica: Replica, caller: str = CALLER, **more: Any) -> Record:
        """A new call's start, accepted."""
        call_id = uuid4().hex
        event = CallStarted(call_id, session_id=f"s{call_id}", from_=caller, to=OTHER)
        record = await replica.identify.on_call_start(replace(event, **more))
        assert record is not None
        return record

    async def until(
        self, record: Record, reached: Callable[[Record], object], seconds: float = 3.0
    ) -> Record:
        """The call once it has `reached`, looked at in the store; fails if it never does."""
        ends = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self.replicas[0].book.ledger.find(record.id)
            if found is not None and reached(found):
                return found
            assert asyncio.get_running_loop().time() < ends, "the call never got there"
            await asyncio.sleep(0.01)

    def session(self, record: Record) -> dict[str, Any]:
        """The variables in the call's session."""
        return dict(self.platform.sessions[f"s{record.id}"])


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"fake time": FakeTimeLoop}


@pytest.fixture
def premium() -> Customer:
    return PREMIUM


@pytest.fixture
def standard() -> Customer:
    return STANDARD


@pytest.fixture
async def world() -> AsyncIterator[World]:
    client: aioredis.Redis = open_store("memory://", command_timeout_s=0.5)
    store = ShakyStore(client, "test", timeout_s=0.5)
    made = World(store)
    with capture_logs() as logs:
        yield made
        store.away = False
        for replica in made.replicas:
            await replica.worker.drain(0.0)
            await replica.shadows.aclose()
            await replica.hooks.aclose(0.0)
            await replica.figures.aclose()
    await store.aclose()
    sys.stdout.writelines(f"{line}\n" for line in logs)
    assert made.faulty or "work_failed" not in {line["event"] for line in logs}
