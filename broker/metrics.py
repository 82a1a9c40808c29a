"""What the broker counts. Labels come from closed sets, never from callers."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

_CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.5, 5.0, 10.0)
_DELIVERY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_WORD = re.compile(r"[a-z_]{1,40}", re.ASCII)


class Metrics:
    """One set of metrics per application, so that two brokers can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.calls = Counter(
            "broker_calls",
            "Calls that reached their outcome",
            ["outcome", "reason"],
            registry=registry,
        )
        self.lookups = Counter(
            "broker_lookups", "Steps decided, by lookup state", ["lookup"], registry=registry
        )
        self.reference_limits = Counter(
            "broker_reference_limits",
            "References not looked up because a limit was reached",
            ["limit"],
            registry=registry,
        )
        self.lookup_seconds = Histogram(
            "broker_lookup_seconds",
            "Time one CRM took for one lookup",
            ["adapter", "outcome"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self.cache = Counter(
            "broker_cache",
            "Lookups by number of a CRM with a cache, by where the answer came from",
            ["crm", "result"],
            registry=registry,
        )
        self.shadow = Counter(
            "broker_shadow",
            "Lookups in which a CRM in shadow mode was compared",
            ["crm", "result"],
            registry=registry,
        )
        self.unmapped_tiers = Counter(
            "broker_unmapped_tiers",
            "Customers whose tier is mapped neither to premium nor to standard",
            ["crm"],
            registry=registry,
        )
        self.call_to_write = Histogram(
            "broker_call_to_write_seconds",
            "Receipt of a step until its session write succeeded",
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self.writes_in_time = Counter(
            "broker_writes_in_time",
            "First session writes, by whether they met the deadline",
            ["in_time"],
            registry=registry,
        )
        self.session_writes = Counter(
            "broker_session_writes", "Session writes", ["outcome"], registry=registry
        )
        self.messages = Counter(
            "broker_messages",
            "Messages that reached a state",
            ["channel", "purpose", "state"],
            registry=registry,
        )
        self._of_deflections(registry)
        self.hooks = Counter(
            "broker_hooks",
            "Screen pops and outcomes that the platform was told of",
            ["hook", "result"],
            registry=registry,
        )
        self._of_callbacks(registry)
        self._of_work(registry)
        self.takeovers = Counter(
            "broker_takeovers", "Work taken over from a replica that lost it", registry=registry
        )
        self.shed = Counter(
            "broker_shed",
            "Requests refused because a call could not be accepted",
            registry=registry,
        )
        self.connections_closed = Counter(
            "broker_connections_closed",
            "Connections closed because of how they were used",
            ["reason"],
            registry=registry,
        )
        self.lookup = cache(self.lookups.labels)
        self.crm_lookup = cache(self.lookup_seconds.labels)
        self.cached = cache(self.cache.labels)
        self.session_write = cache(self.session_writes.labels)
        self.write_in_time = cache(self.writes_in_time.labels)
        """Finding a child by its labels costs more than counting with it, on every call."""
        self.breaker_state = Gauge(
            "broker_breaker_state",
            "0 if the circuit breaker is closed, 1 half-open, 2 open",
            ["dependency"],
            registry=registry,
        )
        self.store_up = Gauge(
            "broker_store_up", "1 if the store takes what is written", registry=registry
        )
        Info("broker_build", "The running version", registry=registry).info({"version": _version()})

    def _of_deflections(self, registry: CollectorRegistry) -> None:
        self._of_sends(registry)
        self._of_rules(registry)
        self._of_handles(registry)

    def _of_sends(self, registry: CollectorRegistry) -> None:
        self.number_lookups = Counter(
            "broker_number_lookups",
            "Numbers of which only a number lookup can tell what kind of line they are",
            ["result"],
            registry=registry,
        )
        self.forbidden_sends = Counter(
            "broker_forbidden_sends",
            "Messages that a rule kept from being sent",
            ["channel", "reason"],
            registry=registry,
        )
        self.spend_used = Gauge(
            "broker_spend_used",
            "Share of the day's money for messages that is spent",
            registry=registry,
        )

    def _of_work(self, registry: CollectorRegistry) -> None:
        self.due = Gauge("broker_due", "Work in the ledger", ["set"], registry=registry)
        self.oldest_due = Gauge(
            "broker_oldest_due_seconds",
            "How long the oldest work is overdue",
            ["set"],
            registry=registry,
        )
        self.dead_letters = Gauge(
            "broker_dead_letters",
            "Work that was given up and waits for an operator",
            ["set"],
            registry=registry,
        )

    def _of_rules(self, registry: CollectorRegistry) -> None:
        self.rules_reloads = Counter(
            "broker_rules_reloads",
            "Changes of the rules file, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self.rules_refused = Gauge(
            "broker_rules_refused",
            "1 while older rules are in force because the file has faults",
            registry=registry,
        )

    def _of_handles(self, registry: CollectorRegistry) -> None:
        self.landings = Counter(
            "broker_landings",
            "Deflection links that were opened, by people and by what looks at links for them",
            ["result"],
            registry=registry,
        )
        self.contexts = Counter(
            "broker_contexts", "Contexts asked for by handle", ["result"], registry=registry
        )

    def _of_callbacks(self, registry: CollectorRegistry) -> None:
        self.receipts = Counter(
            "broker_receipts",
            "Receipts of messaging providers, by what they changed",
            ["channel", "state", "outcome"],
            registry=registry,
        )
        self.receipt_delay = Histogram(
            "broker_receipt_delay_seconds",
            "Hand-over of a message until its receipt that it was delivered",
            ["channel"],
            buckets=_DELIVERY_SECONDS,
            registry=registry,
        )
        self.fallbacks = Counter(
            "broker_fallbacks",
            "Messages that went on to their next channel, by the channel they left",
            ["channel", "reason"],
            registry=registry,
        )
        self.inbound = Counter(
            "broker_inbound",
            "What people wrote to us on a channel, by what it was taken for",
            ["channel", "outcome"],
            registry=registry,
        )
        self.callbacks_refused = Counter(
            "broker_callbacks_refused",
            "Callbacks that nobody had signed who may",
            ["channel"],
            registry=registry,
        )

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


def reason_label(reason: str | None) -> str:
    """`reason` as a label: our own short words only."""
    return reason if reason and _WORD.fullmatch(reason) else ""


_FALLBACKS = frozenset({"refused", "gave_up", "message_unfit", "quiet_hours", "silent"})


def fallback_label(reason: str | None) -> str:
    """Why a message left a channel: one of our own words, or that a receipt said so."""
    return reason if reason in _FALLBACKS else "receipt"


def _version() -> str:
    try:
        return version("call-session-broker")
    except PackageNotFoundError:
        return "unknown"
