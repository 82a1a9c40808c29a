"""The composition root: settings -> parts -> aiohttp application. The only file that joins them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from broker import plugins
from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.domain.errors import ConfigError
from broker.http_client import open_session
from broker.metrics import Metrics
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.ledger import RedisLedger
from broker.stores.shared import RedisCounters, RedisLinks
from broker.usecases.book import Book
from broker.usecases.deliver import Deliver
from broker.usecases.finish import Finish
from broker.usecases.identify import Identify
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.notify import Notify
from broker.usecases.pacing import Pace
from broker.usecases.run import Deadlines
from broker.usecases.step import StepJob
from broker.usecases.tracking import TrackingLinks
from broker.usecases.watch import Watch
from broker.web.auth import Client, Doorkeeper
from broker.web.calls import CallRoutes, Limits
from broker.web.ops import Health, Ops
from broker.web.pages import Pages
from broker.web.service import build_service
from broker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    import aiohttp
    from aiohttp import web

    from broker.ports import CallPlatform, Channel, Ledger
    from broker.settings import Settings


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
    platform: CallPlatform
    channels: dict[str, Channel]
    links: TrackingLinks


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts that `settings` name, closed with the context; ConfigError if one cannot work."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_session())
        clock, metrics = StoreClock(), Metrics()
        half_a_lease = settings.store.lease_ms / 2000
        url = settings.store.url.get_secret_value()
        client = open_store(url, command_timeout_s=half_a_lease)
        store = Store(client, settings.store.prefix, timeout_s=half_a_lease)
        stack.push_async_callback(store.aclose)
        crms = _crms(settings, http)
        for crm in crms:
            stack.push_async_callback(crm.adapter.aclose)
        platform = plugins.build(
            plugins.platform(settings.platform.driver), settings.platform.options, http
        )
        stack.push_async_callback(platform.aclose)
        channels = _channels(settings)
        for channel in channels.values():
            stack.push_async_callback(channel.aclose)
        yield Parts(
            settings,
            clock,
            store,
            RedisLedger(
                store,
                clock,
                lease_s=settings.store.lease_ms / 1000,
                retention_s=settings.privacy.retention_h * 3600,
            ),
            metrics,
            Lookup(crms, settings.lookup.folding(), clock, metrics),
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
        )


def _crms(settings: Settings, http: aiohttp.ClientSession) -> list[Crm]:
    return [
        Crm(
            name,
            plugins.build(plugins.crm_adapter(crm.adapter), crm.options, http),
            crm.priority,
            settings.timeout_ms(crm) / 1000,
        )
        for name, crm in settings.crm.items()
    ]


def _channels(settings: Settings) -> dict[str, Channel]:
    if not isinstance(settings.smtp, SmtpOptions):
        return {}
    return {"email": EmailChannel(settings.smtp, Templates(settings.templates.dir))}


@dataclass(frozen=True, slots=True)
class Broker:
    """A wired broker: the application that is served, and what has to be drained."""

    service: web.Application
    worker: Worker
    health: Health
    parts: Parts


def build_broker(parts: Parts) -> Broker:
    """Wire the use cases around `parts`. Nothing runs yet."""
    settings, clock, metrics = parts.settings, parts.clock, parts.metrics
    policy, variables = settings.policy(), settings.session_variables()
    references, limits = settings.reference.format(), settings.reference.limits()
    counters = RedisCounters(parts.store)
    worker = Worker(parts.ledger, clock, metrics, lease_s=settings.store.lease_ms / 1000)
    book = Book(parts.ledger, worker, metrics)
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
    deliver = Deliver(book, clock, parts.channels, parts.links)
    worker.run_with({"step": step.run, "message": deliver.run, "idle": finish.run})
    numbering = settings.lookup.numbering()
    identify = Identify(book, clock, counters, metrics, policy, numbering, references, limits)
    health = Health("volatile" if settings.store.in_memory else "fast")
    calls = CallRoutes(
        identify=identify,
        notify=Notify(book, clock, policy),
        finish=finish,
        watch=Watch(parts.ledger, worker, clock),
        counters=counters,
        variables=variables,
        fields={str(ours): theirs for ours, theirs in settings.inbound.fields.items()},
        limits=Limits(settings.server.max_wait_ms, settings.server.max_body_bytes),
    )
    service = build_service(
        calls,
        Pages(parts.links),
        Ops(parts.ledger, metrics, health),
        _doorkeeper(settings),
        metrics,
        version=version("call-session-broker"),
        max_body_bytes=settings.server.max_body_bytes,
    )
    return Broker(service, worker, health, parts)


def _deadlines(settings: Settings) -> Deadlines:
    lookup = settings.lookup
    late_ms = lookup.late_ms if lookup.late == "write" else lookup.deadline_ms
    return Deadlines(
        lookup_s=lookup.deadline_ms / 1000,
        late_s=late_ms / 1000,
        write_s=settings.platform.deadline_ms / 1000,
        useful_s=float(lookup.useful_s),
    )


def _doorkeeper(settings: Settings) -> Doorkeeper:
    return Doorkeeper(
        (Client(name, frozenset(client.scopes), client.allow_query), client.key.get_secret_value())
        for name, client in settings.server.clients.items()
    )


async def refuse_unfit(parts: Parts) -> None:
    """ConfigError naming the platform and every CRM that can never work as configured.

    One that is merely away does not stop the start, nor does a mail server: calls get their
    outcome all the same.
    """
    named: dict[str, Awaitable[str]] = {
        "platform": parts.platform.ping(),
        **{f"crm.{crm.name}": crm.adapter.ping() for crm in parts.lookup.crms},
    }
    checks = (asyncio.wait_for(ping, _START_CHECK_S) for ping in named.values())
    results = await asyncio.gather(*checks, return_exceptions=True)
    faults = [
        f"{name}: {fault}"
        for name, result in zip(named, results, strict=True)
        if isinstance(result, ConfigError)
        for fault in result.faults
    ]
    if faults:
        raise ConfigError(*faults)


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
