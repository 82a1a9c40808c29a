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
from broker.domain.recipients import LineRules
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
from broker.settings.rules_file import RulesFile
from broker.stores.address import MEMORY, is_sentinel
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.customers import RedisCustomerCache
from broker.stores.learned import RedisLearnedNumbers
from broker.stores.ledger import RedisLedger
from broker.stores.lines import RedisLineBook
from broker.stores.rate import RedisRate
from broker.stores.shadow import RedisShadowBook
from broker.stores.shared import RedisCounters, RedisLinks, RedisTokens
from broker.stores.tiers import RedisTierWords
from broker.usecases.approved import approved_faults, approved_messages
from broker.usecases.cache import CachedCrm
from broker.usecases.learn import Learner
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.number_check import NumberCheck
from broker.usecases.shadow import Shadows
from broker.usecases.tiers import UnmappedTiers
from broker.usecases.tracking import TrackingLinks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

    import aiohttp

    from broker.ports import (
        CallPlatform,
        Channel,
        CustomerCache,
        Ledger,
        RateLimiter,
        ShadowBook,
        TierWords,
        VendorTemplate,
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
    numbers: NumberCheck
    links: TrackingLinks
    tier_words: TierWords
    customers: CustomerCache
    rules: RulesFile | None
    """None = nobody is ever offered anything."""

    def approved(self) -> Mapping[str, Sequence[VendorTemplate]]:
        """Channel -> the approved messages that settings name for it; empty if it needs some."""
        deflection = self.settings.deflection
        found = approved_messages(deflection.all_templates().values())
        orders = (deflection.channels, *(one.channels for one in deflection.branches.values()))
        offered = {name for order in orders for name in order}
        return {
            name: found.get(name, ())
            for name, channel in self.channels.items()
            if name in found or (channel.needs_template and name in offered)
        }


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
            timeout_s=None if url == MEMORY else half_a_lease,
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
        numbers = await _numbers(settings, outbound, presence)
        if numbers.lookup is not None:
            stack.push_async_callback(numbers.lookup.aclose)
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
                consents_kept_s=settings.deflection.consents_kept_days * 86_400.0,
            ),
            metrics,
            Lookup(
                crms,
                settings.lookup.folding(),
                clock,
                metrics,
                presence,
                shadows,
                tiers,
                _learner(stack, settings, store, clock),
            ),
            shadows,
            platform,
            channels,
            numbers,
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
            _rules(settings, metrics),
        )


def _learner(
    stack: AsyncExitStack, settings: Settings, store: Store, clock: StoreClock
) -> Learner | None:
    """None unless the operator wants numbers learned, and references are typed at all."""
    lookup, reference = settings.lookup, settings.reference
    if not (lookup.learn_phone and reference.enabled):
        return None
    numbers = RedisLearnedNumbers(store, clock)
    learner = Learner(numbers, reference.format(), lookup.learn_days * 86_400.0)
    stack.push_async_callback(learner.aclose)
    return learner


def _rules(settings: Settings, metrics: Metrics) -> RulesFile | None:
    deflection = settings.deflection
    if deflection.rules is None:
        return None
    return RulesFile(deflection.rules, deflection.all_channels(), metrics)


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


async def _numbers(settings: Settings, outbound: _Outbound, presence: Presence) -> NumberCheck:
    lines, counters = RedisLineBook(outbound.store), RedisCounters(outbound.store)
    asked = settings.number_lookup
    if asked is None:
        return NumberCheck(None, lines, counters, outbound.metrics, LineRules())
    http = await outbound.session("number_lookup", presence)
    return NumberCheck(
        plugins.build(plugins.number_lookup(asked.driver), asked.options, http),
        lines,
        counters,
        outbound.metrics,
        asked.rules(),
        within_s=asked.timeout_ms / 1000,
        budget_per_day=asked.budget_per_day,
        kept_s=asked.cache_s,
    )


async def refuse_unfit(parts: Parts) -> Sequence[str]:
    """ConfigError naming the store, the platform and every CRM that can never work as configured.

    One that is merely away does not stop the start, nor does a mail server: calls get their
    outcome all the same, and without a store the broker is not ready and says why. What the
    operator should know of the store, of CRMs in shadow mode and of approved messages comes back.
    """
    shadows = {f"crm.{crm.name}": crm.adapter.ping() for crm in parts.shadows.crms}
    named: dict[str, Awaitable[Any]] = {
        "store": parts.store.check(),
        "platform": parts.platform.ping(),
        **{f"crm.{crm.name}": crm.adapter.ping() for crm in parts.lookup.crms},
        **shadows,
    }
    results, templates = await asyncio.gather(_reached(named), _unfit_templates(parts))
    told = {name: [f"{name}: {fault}" for fault in _unfit(results[name])] for name in named}
    if faults := [fault for name in named if name not in shadows for fault in told[name]]:
        raise ConfigError(*faults)
    of_store = results["store"]
    warnings = [f"store: {told}" for told in of_store] if isinstance(of_store, list) else []
    return [*warnings, *(fault for name in shadows for fault in told[name]), *templates]


async def _reached(named: Mapping[str, Awaitable[Any]]) -> dict[str, Any]:
    """What each came to, or failed with, in `_START_CHECK_S`."""
    checks = (asyncio.wait_for(check, _START_CHECK_S) for check in named.values())
    results = await asyncio.gather(*checks, return_exceptions=True)
    return dict(zip(named, results, strict=True))


async def _unfit_templates(parts: Parts) -> list[str]:
    """Approved messages that their providers would refuse: one of them stops no calls."""
    approved = parts.approved().items()
    asked = {name: approved_faults(parts.channels[name], messages) for name, messages in approved}
    results = await _reached(asked)
    return [
        f"channel.{name}: {fault}"
        for name, told in results.items()
        for fault in (_unfit(told) if isinstance(told, BaseException) else told)
    ]


def _unfit(result: object) -> tuple[str, ...]:
    """What the operator has to change, going by what a ping ended with."""
    if isinstance(result, ConfigError):
        return result.faults
    return (str(result),) if isinstance(result, ForbiddenAddressError) else ()
