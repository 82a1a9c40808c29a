"""Everything that is plugged in: opened as `settings` say, closed together, refused if unfit."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
from broker.stores.shared import RedisLinks, RedisTokens
from broker.stores.tiers import RedisTierWords
from broker.usecases.cache import CachedCrm
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.shadow import Shadows
from broker.usecases.tiers import UnmappedTiers
from broker.usecases.tracking import TrackingLinks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    import aiohttp

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
