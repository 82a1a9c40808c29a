"""The composition root: parts -> use cases -> aiohttp application. Only here they are joined."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from broker.domain.messages import EMAIL
from broker.parts import Parts, open_parts
from broker.stores.shared import RedisCounters
from broker.usecases.book import Book
from broker.usecases.deliver import Deliver
from broker.usecases.erase import Erase
from broker.usecases.finish import Finish
from broker.usecases.hooks import Hooks
from broker.usecases.identify import Identify
from broker.usecases.invalidate import Invalidate
from broker.usecases.notify import Notify
from broker.usecases.pacing import Pace
from broker.usecases.run import Deadlines
from broker.usecases.step import StepJob
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
    from collections.abc import AsyncIterator

    from aiohttp import web

    from broker.domain.progress import Policy
    from broker.settings import Settings


_LAST_HOOKS_S = 3.0
"""What the platform is being told when the worker has been drained may take so long."""


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
