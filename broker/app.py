"""The composition root: parts -> use cases -> aiohttp application. Only here they are joined."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from broker.domain.deflection import Reaching
from broker.domain.messages import EMAIL
from broker.domain.offers import Rules
from broker.parts import Parts, open_parts
from broker.stores.people import RedisConsents, RedisHistory, RedisOptOuts, RedisTalks
from broker.stores.shared import RedisCounters
from broker.usecases.abandoned import GaveUp
from broker.usecases.book import Book
from broker.usecases.compose import Compose
from broker.usecases.context import TellContext
from broker.usecases.crm_entries import CrmEntries
from broker.usecases.deflect import Deflect
from broker.usecases.deliver import Deliver
from broker.usecases.erase import Erase
from broker.usecases.figures import LiveFigures
from broker.usecases.finish import Finish
from broker.usecases.handles import Handles, Landings
from broker.usecases.hooks import Hooks
from broker.usecases.identify import Identify
from broker.usecases.invalidate import Invalidate
from broker.usecases.landing import Landing
from broker.usecases.notify import Notify
from broker.usecases.offer import Offers
from broker.usecases.pacing import Pace
from broker.usecases.receipts import Callbacks, Receipts
from broker.usecases.replies import Replies
from broker.usecases.run import Deadlines
from broker.usecases.spend import Spend
from broker.usecases.step import StepJob
from broker.usecases.voice import Voice
from broker.usecases.watch import Watch
from broker.web.adereso import AderesoRoutes
from broker.web.auth import Client, Credentials, Doorkeeper
from broker.web.cache import CacheRoutes
from broker.web.callbacks import CallbackRoutes
from broker.web.calls import CallRoutes
from broker.web.contexts import ContextRoutes
from broker.web.deflections import DeflectionRoutes
from broker.web.erasures import ErasureRoutes
from broker.web.inbound import ConnectionLimits, InboundRunner
from broker.web.intake import Intake, Limits
from broker.web.load import Load
from broker.web.ops import Health, Ops
from broker.web.pages import Pages
from broker.web.service import build_service
from broker.web.twilio import Line, TwilioRoutes
from broker.web.twiml import Renderer
from broker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from broker.domain.progress import Policy
    from broker.domain.record import Record
    from broker.settings import Settings


_AND_THE_STORE_S = 0.5
"""What a caller waits for beyond the CRMs' deadline: then their result is kept."""
_LAST_HOOKS_S = 3.0
"""What the platform is being told when the worker has been drained may take so long."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A wired broker: the application that is served, and what has to be drained."""

    service: web.Application
    worker: Worker
    hooks: Hooks
    figures: LiveFigures
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
    book = Book(parts.ledger, worker, metrics, _when_over(parts, hooks))
    finish = _finish(parts, book, policy)
    offers = _offers(parts, book, policy)
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
        history=RedisHistory(parts.store),
        offers=offers if settings.deflection.auto_offer else None,
    )
    channels = settings.channels.items()
    resend = frozenset(name for name, channel in channels if channel.lost_answer == "resend")
    compose = Compose(
        parts.channels,
        parts.links,
        policy,
        settings.server.public_url,
        RedisTalks(parts.store, clock),
    )
    rules = settings.send_rules()
    deliver = Deliver(book, clock, parts.channels, compose, resend=resend, rules=rules)
    entries = CrmEntries(book, clock, {crm.name: crm.adapter for crm in parts.lookup.crms})
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
    numbering = settings.lookup.numbering()
    identify = Identify(
        book, clock, counters, metrics, policy, numbering, references, limits, hooks
    )
    health = Health(settings.store.promise)
    load = Load(lambda: worker.in_flight, settings.server.max_calls_in_flight)
    watch = Watch(parts.ledger, worker, clock)
    intake = Intake(
        watch,
        counters,
        {str(ours): theirs for ours, theirs in settings.inbound.fields.items()},
        Limits(settings.server.max_wait_ms, settings.server.max_body_bytes),
    )
    calls = CallRoutes(
        identify=identify,
        notify=Notify(book, clock, policy),
        finish=finish,
        watch=watch,
        variables=variables,
        intake=intake,
        load=load,
    )
    deflect = Deflect(
        book,
        clock,
        counters,
        policy,
        numbering,
        parts.numbers,
        float(settings.deflection.repeat_window_s),
    )
    carries = policy.deflection.carries
    handles = Handles(parts.ledger, clock, carries.lives_s)
    doorkeeper = Doorkeeper(
        credentials(settings), counters, max_body_bytes=settings.server.max_body_bytes
    )
    service = build_service(
        calls,
        DeflectionRoutes(intake, deflect, offers, variables),
        AderesoRoutes(intake, deflect, settings.compat.adereso.rules(numbering)),
        ContextRoutes(TellContext(handles, carries, metrics)),
        CallbackRoutes(
            _callbacks(parts, book, counters),
            settings.server.public_url,
        ),
        TwilioRoutes(
            _line(parts, identify, deflect, finish, offers), settings.server.max_body_bytes
        ),
        ErasureRoutes(
            Erase(parts.ledger, parts.customers, numbering), settings.server.max_body_bytes
        ),
        CacheRoutes(
            Invalidate(parts.customers, settings.crm.keys(), numbering),
            settings.server.max_body_bytes,
        ),
        Pages(parts.links, _landing(parts, handles, policy)),
        Ops(parts.ledger, metrics, health, Spend(counters, rules.caps)),
        doorkeeper,
        metrics,
        load,
        version=version("call-session-broker"),
        max_body_bytes=settings.server.max_body_bytes,
    )
    return Broker(service, worker, hooks, offers.figures, health, parts, load, doorkeeper)


def _when_over(parts: Parts, hooks: Hooks) -> Callable[[Record], None]:
    """Who hears of a call that has its outcome."""
    learner = parts.lookup.learner
    if learner is None:
        return hooks.call_over

    def tell(record: Record) -> None:
        hooks.call_over(record)
        learner.call_over(record)

    return tell


def _landing(parts: Parts, handles: Handles, policy: Policy) -> Landing:
    targets = parts.settings.link_targets()
    landings = Landings(handles, policy.deflection, tuple(targets))
    return Landing(landings.find, targets, parts.clock, parts.metrics)


def _finish(parts: Parts, book: Book, policy: Policy) -> Finish:
    about, consents = parts.settings.deflection.abandoned.rules(), RedisConsents(parts.store)
    gave_up = GaveUp(policy.deflection, about, consents, parts.clock)
    return Finish(book, parts.clock, gave_up)


def _line(
    parts: Parts, identify: Identify, deflect: Deflect, finish: Finish, offers: Offers
) -> Line | None:
    """The telephone menu, if there is one."""
    settings = parts.settings
    told, public_url = settings.twilio_voice, settings.server.public_url
    if told is None or public_url is None:
        return None
    voice = Voice(
        book=deflect.book,
        identify=identify,
        deflect=deflect,
        finish=finish,
        watch=Watch(parts.ledger, deflect.book.jobs, parts.clock),
        counters=deflect.counters,
        clock=deflect.clock,
        policy=deflect.policy,
        menu=told.menu(settings.reference),
        lookup_s=settings.lookup.deadline_ms / 1000 + _AND_THE_STORE_S,
        offers=offers if parts.rules is not None else None,
    )
    renderer = Renderer(
        public_url + "/v1/twilio/gather",
        public_url + "/v1/twilio/status",
        {str(language): name for language, name in told.voices.items()},
    )
    return Line(voice, renderer, told.tokens, public_url)


def _callbacks(parts: Parts, book: Book, counters: RedisCounters) -> Callbacks:
    settings, clock, metrics = parts.settings, parts.clock, parts.metrics
    opt_outs, home = RedisOptOuts(parts.store), settings.lookup.default_region
    replies = Replies(
        book,
        clock,
        metrics,
        counters,
        opt_outs,
        RedisTalks(parts.store, clock),
        settings.deflection.words.words(),
        settings.deflection.look_back_h * 3600.0,
        home,
    )
    receipts = Receipts(book, clock, metrics, counters, opt_outs, home)
    return Callbacks(parts.channels, receipts, replies, metrics)


def _policy(parts: Parts) -> Policy:
    """The operator's, and whom the channels write to."""
    policy, settings = parts.settings.policy(), parts.settings
    reach = {name: _reaching(parts, name) for name in parts.channels}
    policy = replace(policy, deflection=replace(policy.deflection, reach=reach))
    rules = reach.get(settings.tracking.channel)
    if rules is None or rules.recipients is None:
        return policy
    or_email = EMAIL in parts.channels
    tracking = replace(policy.tracking, recipients=rules.recipients, or_email=or_email)
    return replace(policy, tracking=tracking)


def _reaching(parts: Parts, name: str) -> Reaching:
    channel, told = parts.channels[name], parts.settings.channels.get(name)
    template = told.template if told is not None else None
    if channel.recipients is None:
        return Reaching(channel.reaches, template=template)
    home = parts.settings.lookup.default_region
    return Reaching("phone", replace(channel.recipients, home_region=home), template)


def _offers(parts: Parts, book: Book, policy: Policy) -> Offers:
    figures = LiveFigures(parts.platform, parts.clock, presence=parts.lookup.presence)
    return Offers(book, parts.clock, policy, parts.rules or Rules, figures)


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
        watching = _watched(parts)
        try:
            yield broker
        finally:
            watching.cancel()
            await broker.worker.drain(settings.server.shutdown_grace_s)
            await broker.hooks.aclose(_LAST_HOOKS_S)
            await broker.figures.aclose()
            await asyncio.wait({watching})


def _watched(parts: Parts) -> asyncio.Task[None]:
    """Looks at the rules file, until it is cancelled."""

    async def watch() -> None:
        if parts.rules is not None:
            await parts.rules.watch(parts.clock)

    return asyncio.create_task(watch(), name="rules")
