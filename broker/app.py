"""The composition root: settings -> parts -> aiohttp application. The only file that joins them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from broker import plugins
from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.domain.errors import ConfigError
from broker.domain.messages import EMAIL
from broker.domain.shadow import compared_fields
from broker.http_client import (
    Dependency,
    ForbiddenAddressError,
    LocalRate,
    SharedRate,
    open_session,
)
from broker.metrics import Metrics
from broker.presence import Presence
from broker.stores.address import is_sentinel
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.customers import RedisCustomerCache
from broker.stores.ledger import RedisLedger
from broker.stores.rate import RedisRate
from broker.stores.shadow import RedisShadowBook
from broker.stores.shared import RedisCounters, RedisLinks, RedisTokens
from broker.stores.tiers import RedisTierWords
from broker.usecases.book import Book
from broker.usecases.cache import CachedCrm
from broker.usecases.deliver import Deliver
from broker.usecases.erase import Erase
from broker.usecases.finish import Finish
from broker.usecases.hooks import Hooks
from broker.usecases.identify import Identify
from broker.usecases.invalidate import Invalidate
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.notify import Notify
from broker.usecases.pacing import Pace
from broker.usecases.run import Deadlines
from broker.usecases.shadow import Shadows
from broker.usecases.step import StepJob
from broker.usecases.tiers import UnmappedTiers
from broker.usecases.tracking import TrackingLinks
from broker.usecases.watch import Watch
from broker.web.auth import Client, Credentials, Doorkeeper
from broker.web.cache import CacheRoutes
from broker.web.calls import CallRoutes, Limits
from broker.web.erasures import ErasureRoutes
from broker.web.inbound import ConnectionLimits, InboundRunner
from broker.web.load import Load
from broker.web.ops import Health, Ops
from broker.web.pages import Pages
from broker.web.service import build_service
from broker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    import aiohttp
    from aiohttp import web

    from broker.domain.progress import Policy
    from broker.ports import (
        CallPlatform,
        Channel,
        CustomerCache,
        Ledger,
        RateLimiter,
        ShadowBook,
        TierWords,
    )
    from broker.settings import Settings
    from broker.settings.models import Outbound


_LAST_HOOKS_S = 3.0
"""What the platform is being told when the worker has been drained may take so long."""
_START_CHECK_S = 3.0
"""How long a part may take at the start to say that it cannot work."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that is plugged in, opened and ready to be asked."""

    settings: Settings
    clock: StoreClock
    store: Store
    ledger: Ledger
    metrics: Metrics
    lookup: Lookup
    shadows: Shadows
    platform: CallPlatform
    channels: dict[str, Channel]
    links: TrackingLinks
    tier_words: TierWords
    customers: CustomerCache


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts that `settings` name, closed with the context; ConfigError if one cannot work."""
    async with AsyncExitStack() as stack:
        clock, metrics, presence = StoreClock(), Metrics(), Presence()
        half_a_lease = settings.store.lease_ms / 2000
        url = settings.store.url.get_secret_value()
        client = open_store(url, command_timeout_s=half_a_lease)
        store = Store(
            client,
            settings.store.prefix,
            timeout_s=half_a_lease,
            profile=settings.store.promise,
            fails_over=is_sentinel(url),
        )
        stack.push_async_callback(store.aclose)
        outbound = _Outbound(stack, settings.outbound, metrics, store, clock)
        kept = RedisCustomerCache(store, clock, home_region=settings.lookup.default_region)
        crms, in_shadow = await _crms(settings, outbound, kept)
        for crm in (*crms, *in_shadow):
            stack.push_async_callback(crm.adapter.aclose)
            if crm.cache is not None:
                stack.push_async_callback(crm.cache.aclose)
        retention_s = settings.privacy.retention_h * 3600
        book = RedisShadowBook(store, clock, retention_s=retention_s)
        shadows = _shadows(settings, in_shadow, book, metrics)
        stack.push_async_callback(shadows.aclose)
        platform = plugins.build(
            plugins.platform(settings.platform.driver),
            settings.platform.options,
            await outbound.session("platform", presence),
        )
        stack.push_async_callback(platform.aclose)
        channels = await _channels(settings, outbound, presence)
        for channel in channels.values():
            stack.push_async_callback(channel.aclose)
        words = RedisTierWords(store)
        tiers = UnmappedTiers(words, metrics)
        stack.push_async_callback(tiers.aclose)
        yield Parts(
            settings,
            clock,
            store,
            RedisLedger(
                store,
                clock,
                lease_s=settings.store.lease_ms / 1000,
                retention_s=retention_s,
                home_region=settings.lookup.default_region,
            ),
            metrics,
            Lookup(crms, settings.lookup.folding(), clock, metrics, presence, shadows, tiers),
            shadows,
            platform,
            channels,
            TrackingLinks(
                RedisLinks(store, clock),
                clock,
                settings.tracking.url_template,
                settings.server.public_url,
                settings.tracking.link,
                settings.tracking.expires_days,
            ),
            words,
            kept,
        )


@dataclass(frozen=True, slots=True)
class _Outbound:
    """Opens the HTTP session of each dependency, to be closed with `stack`."""

    stack: AsyncExitStack
    rules: Outbound
    metrics: Metrics
    store: Store
    clock: StoreClock

    async def session(
        self, name: str, presence: Presence | None = None, *, per_s: float | None = None
    ) -> aiohttp.ClientSession:
        """`presence` tells when it goes away; not needed where somebody else knows better.

        It is asked at most `per_s` times a second, by all replicas together.
        """
        dependency = Dependency(
            name,
            self.rules.breaker(),
            presence,
            tokens=RedisTokens(self.store, self.clock),
            rate=self._rate(name, per_s) if per_s is not None else None,
        )
        self.metrics.breaker_state.labels(name).set_function(lambda: dependency.state)
        opened = open_session(self.rules.addresses(), dependency)
        return await self.stack.enter_async_context(opened)

    def _rate(self, name: str, per_s: float) -> RateLimiter:
        return SharedRate(RedisRate(self.store, self.clock, name, per_s), LocalRate(per_s))


async def _crms(
    settings: Settings, outbound: _Outbound, kept: CustomerCache
) -> tuple[list[Crm], list[Crm]]:
    """Those that answer the calls, and those in shadow mode."""
    crms: list[Crm] = []
    shadows: list[Crm] = []
    for name, crm in settings.crm.items():
        http = await outbound.session(f"crm.{name}", per_s=crm.rate_per_s)
        adapter = plugins.build(plugins.crm_adapter(crm.adapter), crm.options, http)
        turns = asyncio.Semaphore(crm.max_concurrency)
        cache = None
        if (rules := crm.cache.rules()) is not None and not crm.shadow:
            cache = CachedCrm(name, rules, kept, outbound.clock, outbound.metrics)
        made = Crm(name, adapter, crm.priority, settings.timeout_ms(crm) / 1000, turns, cache)
        (shadows if crm.shadow else crms).append(made)
    return crms, shadows


def _shadows(settings: Settings, crms: list[Crm], book: ShadowBook, metrics: Metrics) -> Shadows:
    lookup = settings.lookup
    fields = compared_fields(settings.session_variables().names)
    return Shadows(crms, book, metrics, fields, lookup.deadline_ms, lookup.late_ms / 1000)


async def _channels(
    settings: Settings, outbound: _Outbound, presence: Presence
) -> dict[str, Channel]:
    channels: dict[str, Channel] = {}
    for name, channel in settings.channels.items():
        http = await outbound.session(f"channel.{name}", presence)
        channels[name] = plugins.build(plugins.channel(channel.driver), channel.options, http)
    if isinstance(settings.smtp, SmtpOptions):
        channels[EMAIL] = EmailChannel(settings.smtp, Templates(settings.templates.dir))
    return channels


@dataclass(frozen=True, slots=True)
class Broker:
    """A wired broker: the application that is served, and what has to be drained."""

    service: web.Application
    worker: Worker
    hooks: Hooks
    health: Health
    parts: Parts
    load: Load
    doorkeeper: Doorkeeper

    def runner(self, *, shutdown_timeout: float) -> InboundRunner:
        """What serves it, behind the limits for connections."""
        server = self.parts.settings.server
        return InboundRunner(
            self.service,
            ConnectionLimits(server.max_connections, server.receive_timeout_s),
            self.load,
            self.parts.metrics,
            shutdown_timeout=shutdown_timeout,
        )


def build_broker(parts: Parts) -> Broker:
    """Wire the use cases around `parts`. Nothing runs yet."""
    settings, clock, metrics = parts.settings, parts.clock, parts.metrics
    policy, variables = _policy(parts), settings.session_variables()
    references, limits = settings.reference.format(), settings.reference.limits()
    counters = RedisCounters(parts.store)
    worker = Worker(parts.ledger, clock, metrics, lease_s=settings.store.lease_ms / 1000)
    hooks = Hooks(parts.platform, counters, metrics, parts.lookup.presence)
    book = Book(parts.ledger, worker, metrics, hooks.call_over)
    finish = Finish(book, clock)
    step = StepJob(
        book=book,
        clock=clock,
        lookup=parts.lookup,
        platform=parts.platform,
        counters=counters,
        metrics=metrics,
        policy=policy,
        variables=variables,
        references=references,
        pace=Pace(),
        deadlines=_deadlines(settings),
        limits=limits,
    )
    channels = settings.channels.items()
    resend = frozenset(name for name, channel in channels if channel.lost_answer == "resend")
    deliver = Deliver(book, clock, parts.channels, parts.links, policy, resend=resend)
    worker.run_with(
        {
            "step": step.run,
            "repair": step.repair,
            "message": deliver.run,
            "idle": finish.run,
            "poison": finish.bury,
        }
    )
    numbering = settings.lookup.numbering()
    identify = Identify(
        book, clock, counters, metrics, policy, numbering, references, limits, hooks
    )
    health = Health(settings.store.promise)
    load = Load(lambda: worker.in_flight, settings.server.max_calls_in_flight)
    calls = CallRoutes(
        identify=identify,
        notify=Notify(book, clock, policy),
        finish=finish,
        watch=Watch(parts.ledger, worker, clock),
        counters=counters,
        variables=variables,
        fields={str(ours): theirs for ours, theirs in settings.inbound.fields.items()},
        limits=Limits(settings.server.max_wait_ms, settings.server.max_body_bytes),
        load=load,
    )
    doorkeeper = Doorkeeper(
        credentials(settings), counters, max_body_bytes=settings.server.max_body_bytes
    )
    service = build_service(
        calls,
        ErasureRoutes(
            Erase(parts.ledger, parts.customers, numbering), settings.server.max_body_bytes
        ),
        CacheRoutes(
            Invalidate(parts.customers, settings.crm.keys(), numbering),
            settings.server.max_body_bytes,
        ),
        Pages(parts.links),
        Ops(parts.ledger, metrics, health),
        doorkeeper,
        metrics,
        load,
        version=version("call-session-broker"),
        max_body_bytes=settings.server.max_body_bytes,
    )
    return Broker(service, worker, hooks, health, parts, load, doorkeeper)


def _policy(parts: Parts) -> Policy:
    """The operator's, and whom the channel of the tracking message writes to."""
    policy, settings = parts.settings.policy(), parts.settings
    channel = parts.channels.get(settings.tracking.channel)
    if channel is None or channel.recipients is None:
        return policy
    recipients = replace(channel.recipients, home_region=settings.lookup.default_region)
    or_email = EMAIL in parts.channels
    tracking = replace(policy.tracking, recipients=recipients, or_email=or_email)
    return replace(policy, tracking=tracking)


def _deadlines(settings: Settings) -> Deadlines:
    lookup = settings.lookup
    late_ms = lookup.late_ms if lookup.late == "write" else lookup.deadline_ms
    return Deadlines(
        lookup_s=lookup.deadline_ms / 1000,
        late_s=late_ms / 1000,
        write_s=settings.platform.deadline_ms / 1000,
        useful_s=float(lookup.useful_s),
    )


def credentials(settings: Settings) -> list[Credentials]:
    """How the clients show who they are."""
    return [
        Credentials(
            Client(name, frozenset(client.scopes), client.allow_query),
            tuple(client.keys),
            tuple(client.hmac_secrets),
        )
        for name, client in settings.server.clients.items()
    ]


async def refuse_unfit(parts: Parts) -> Sequence[str]:
    """ConfigError naming the store, the platform and every CRM that can never work as configured.

    One that is merely away does not stop the start, nor does a mail server: calls get their
    outcome all the same, and without a store the broker is not ready and says why. What the
    operator should know of the store, and of CRMs in shadow mode, comes back.
    """
    shadows = {f"crm.{crm.name}": crm.adapter.ping() for crm in parts.shadows.crms}
    named: dict[str, Awaitable[Any]] = {
        "store": parts.store.check(),
        "platform": parts.platform.ping(),
        **{f"crm.{crm.name}": crm.adapter.ping() for crm in parts.lookup.crms},
        **shadows,
    }
    checks = (asyncio.wait_for(ping, _START_CHECK_S) for ping in named.values())
    results = dict(zip(named, await asyncio.gather(*checks, return_exceptions=True), strict=True))
    told = {name: [f"{name}: {fault}" for fault in _unfit(results[name])] for name in named}
    if faults := [fault for name in named if name not in shadows for fault in told[name]]:
        raise ConfigError(*faults)
    of_store = results["store"]
    warnings = [f"store: {told}" for told in of_store] if isinstance(of_store, list) else []
    return [*warnings, *(fault for name in shadows for fault in told[name])]


def _unfit(result: object) -> tuple[str, ...]:
    """What the operator has to change, going by what a ping ended with."""
    if isinstance(result, ConfigError):
        return result.faults
    return (str(result),) if isinstance(result, ForbiddenAddressError) else ()


@asynccontextmanager
async def running_broker(settings: Settings) -> AsyncIterator[Broker]:
    """A broker whose worker runs; on leaving, its work is finished or handed over."""
    async with open_parts(settings) as parts:
        broker = build_broker(parts)
        broker.worker.open()
        try:
            yield broker
        finally:
            await broker.worker.drain(settings.server.shutdown_grace_s)
            await broker.hooks.aclose(_LAST_HOOKS_S)
