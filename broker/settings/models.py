"""The sections of the configuration file, and what the domain gets of them."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import TYPE_CHECKING, Literal, Self

from pydantic import DirectoryPath, Field, InstanceOf, SecretStr, model_validator

from broker.domain.caching import CacheRules
from broker.domain.call import Alphabet, Numbering, ReferenceFormat
from broker.domain.customer import Folding
from broker.domain.messages import EMAIL, Sender, Tracking, When
from broker.domain.progress import Policy
from broker.domain.recipients import LineRules
from broker.domain.references import ReferenceLimits
from broker.domain.routing import Routing
from broker.domain.send_rules import SendRules
from broker.domain.variables import Variables
from broker.http_client import Addresses, BreakerLimits
from broker.ports import Options  # noqa: TC001 - pydantic evaluates it
from broker.settings.deflection import DeflectionSettings  # noqa: TC001 - pydantic evaluates it
from broker.settings.doors import CompatSettings  # noqa: TC001 - pydantic evaluates it
from broker.settings.links import AnyLink, LinkSettings
from broker.settings.values import (
    ClientKey,
    Count,
    DialPrefix,
    FieldName,
    InternalAddress,
    KeptSeconds,
    Key,
    LinkTemplate,
    Name,
    Port,
    Rate,
    Region,
    Seconds,
    Section,
    SigningSecret,
    StoreAddress,
    Switch,
    WebAddress,
    Whole,
    several,
)
from broker.settings.voice import VoiceSettings  # noqa: TC001 - pydantic evaluates it
from broker.stores.address import MEMORY

if TYPE_CHECKING:
    from broker.domain.link_targets import LinkTarget

Scope = Literal["calls", "deflect", "read", "admin"]
InboundField = Literal[
    "call_id",
    "session_id",
    "from",
    "to",
    "parent_id",
    "direction",
    "agent_id",
    "anonymous",
    "reference",
    "disposition",
    "key",
    "branch",
    "reason",
    "ewt_seconds",
    "agents_available",
    "prompts_heard",
]
"""Our names for what an automation sends; `[inbound] fields` says what the IVR calls them."""

CachedField = Literal[
    "email",
    "premium",
    "track_id",
    "phones",
    "name",
    "language",
    "preferred_channel",
    "push_tokens",
    "tags",
    "record_url",
    "extra",
]
"""What of a customer may be kept for a time of its own."""


class Client(Section):
    """`[server.clients.<name>]`: who may ask, and for what."""

    key: ClientKey | None = None
    hmac_secret: SigningSecret | None = None
    scopes: tuple[Scope, ...] = ("calls", "deflect", "read", "admin")
    allow_query: bool = False

    @model_validator(mode="after")
    def _shows_who_it_is(self) -> Self:
        if self.key is None and self.hmac_secret is None:
            raise ValueError("needs a key, an hmac_secret or both")
        return self

    @property
    def keys(self) -> list[str]:
        """Every key that is valid now: several, while they are being changed."""
        return several(self.key)

    @property
    def hmac_secrets(self) -> list[str]:
        return several(self.hmac_secret)


class Server(Section):
    host: str = Field("127.0.0.1", min_length=1)
    port: Port = 8080
    public_url: WebAddress | None = None
    drain_delay_s: Seconds = 2.0
    shutdown_grace_s: Seconds = 20.0
    max_wait_ms: Count = 7000
    max_body_bytes: Count = 65536
    max_connections: Count = 2000
    max_calls_in_flight: Count = 2000
    receive_timeout_s: Seconds = Field(5.0, ge=0.1)
    clients: Mapping[Name, Client] = {}


class Inbound(Section):
    fields: Mapping[InboundField, FieldName] = {}


class Store(Section):
    url: StoreAddress = SecretStr(MEMORY)
    profile: Literal["fast", "durable"] = "fast"
    allow_memory: bool = False
    prefix: str = Field("ivr", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    lease_ms: Count = 1500
    call_idle_s: Count = 1800

    @property
    def in_memory(self) -> bool:
        """Whether nothing outlives the process."""
        return self.url.get_secret_value() == MEMORY

    @property
    def promise(self) -> Literal["volatile", "fast", "durable"]:
        """The profile by which calls are kept."""
        return "volatile" if self.in_memory else self.profile


class Outbound(Section):
    """`[outbound]`: what all requests of ours keep to."""

    allow_internal: tuple[InternalAddress, ...] = ()
    breaker_failures: Count = 5
    breaker_window_s: Seconds = 10.0
    breaker_probe_s: Seconds = 2.0

    def addresses(self) -> Addresses:
        return Addresses.parse(self.allow_internal)

    def breaker(self) -> BreakerLimits:
        return BreakerLimits(self.breaker_failures, self.breaker_window_s, self.breaker_probe_s)


class PlatformSettings(Section):
    """`[platform]`. What is not named here belongs to the driver: `options`."""

    driver: str = "babelforce"
    deadline_ms: Count = 3500
    options: InstanceOf[Options]


class LookupSettings(Section):
    deadline_ms: Count = 1500
    late_ms: Count = 5000
    late: Literal["write", "drop"] = "write"
    useful_s: Count = 60
    default_region: Region | None = None
    regions: Mapping[DialPrefix, Region] = {}
    bare_numbers: Literal["international", "national"] = "international"
    conflict: Literal["ambiguous", "priority"] = "ambiguous"
    same_person_key: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    learn_phone: bool = False
    learn_days: Count = Field(90, le=365)

    def numbering(self) -> Numbering:
        return Numbering(self.default_region, dict(self.regions), self.bare_numbers)

    def folding(self) -> Folding:
        return Folding(self.conflict, self.same_person_key)


class Cache(Section):
    """`[crm.<name>] cache`: how long what the CRM said of a number is told without asking it."""

    found_s: KeptSeconds = 0.0
    not_found_s: KeptSeconds = 0.0
    fields: Mapping[CachedField, KeptSeconds] = {}

    @property
    def longest_s(self) -> float:
        """How long a customer who was found is kept."""
        return max(self.found_s, *self.fields.values()) if self.fields else self.found_s

    def rules(self) -> CacheRules | None:
        """None if nothing is kept."""
        if not self.longest_s:
            return None
        return CacheRules(
            self.found_s,
            self.not_found_s,
            {str(name): seconds for name, seconds in self.fields.items()},
        )


class Crm(Section):
    """`[crm.<name>]`: one system of record. `options` are the adapter's own."""

    adapter: str
    priority: Whole = 100
    timeout_ms: Count | None = None
    """None = `lookup.late_ms`; see `Settings.timeout_ms`."""
    max_concurrency: Count = 20
    rate_per_s: Rate | None = None
    cache: Cache = Cache()
    shadow: bool = False
    notes: bool = False
    """Whether its customers' records get a note of every call."""
    options: InstanceOf[Options]


class ReferenceSettings(Section):
    enabled: bool = True
    length: Count = Field(7, le=64)
    alphabet: Alphabet = Alphabet.DIGITS
    tries_per_call: Count = 3
    failures_per_caller_per_day: Count = 5
    failures_per_called_per_10min: Count = 200

    def format(self) -> ReferenceFormat:
        return ReferenceFormat(self.length, self.alphabet)

    def routing(self) -> Routing:
        return Routing(self.enabled, self.tries_per_call)

    def limits(self) -> ReferenceLimits:
        return ReferenceLimits(self.failures_per_caller_per_day, self.failures_per_called_per_10min)


class Templates(Section):
    dir: DirectoryPath | None = None


class ChannelSettings(Section):
    """`[channels.<name>]`. What is not named here belongs to the driver: `options`."""

    driver: str
    lost_answer: Literal["hold", "resend"] = "hold"
    template: Name | None = None
    """The deflection template of who asks for none."""
    options: InstanceOf[Options]


class NumberLookupSettings(Section):
    """`[number_lookup]`. What is not named here belongs to the driver: `options`."""

    driver: str
    timeout_ms: Count = Field(1000, le=10_000)
    cache_s: KeptSeconds = 604_800.0
    budget_per_day: Count = 1000
    on_unknown: Literal["send", "skip"] = "send"
    on_voip: Literal["send", "skip"] = "send"
    options: InstanceOf[Options]

    def rules(self) -> LineRules:
        return LineRules(
            send_to_unknown=self.on_unknown == "send", send_to_voip=self.on_voip == "send"
        )


class TrackingEmail(Section):
    """`[tracking.email]`."""

    when: When = When.AUTO
    sent_by: Sender = Sender.BROKER


class TrackingSettings(Section):
    channel: Name = EMAIL
    url_template: LinkTemplate | None = None
    link: Literal["wrapped", "direct"] = "wrapped"
    expires_days: Count = Field(7, le=365)
    email: TrackingEmail = TrackingEmail()

    def rules(self) -> Tracking:
        return Tracking(self.url_template, self.email.when, self.email.sent_by, self.channel)


class DeadLetters(Section):
    max_age_h: Count = 24


class Privacy(Section):
    retention_h: Count = 24
    log_numbers: Literal["masked", "hashed"] = "masked"
    hash_key: Key | None = None


class Settings(Section):
    """Everything, valid. Build it with `load` or `from_mapping`, which know the plug-ins."""

    server: Server
    inbound: Inbound
    store: Store
    outbound: Outbound
    platform: PlatformSettings
    lookup: LookupSettings
    crm: Mapping[Name, Crm]
    reference: ReferenceSettings
    variables: Mapping[str, Switch]
    templates: Templates
    tracking: TrackingSettings
    smtp: InstanceOf[Options] | None
    """The options of the channel `email`."""
    channels: Mapping[Name, ChannelSettings]
    links: Mapping[Name, AnyLink]
    number_lookup: NumberLookupSettings | None
    deflection: DeflectionSettings
    compat: CompatSettings
    twilio_voice: VoiceSettings | None
    dead_letters: DeadLetters
    privacy: Privacy
    warnings: tuple[str, ...] = ()
    """What was decided for the operator; `serve` and `check` say it."""

    def policy(self) -> Policy:
        return Policy(
            routing=self.reference.routing(),
            folding=self.lookup.folding(),
            tracking=self.tracking.rules(),
            deflection=self.deflection.policy(home_region=self.lookup.default_region),
            notes=frozenset(name for name, crm in self.crm.items() if crm.notes),
            idle_s=float(self.store.call_idle_s),
        )

    def send_rules(self) -> SendRules:
        """What keeps messages from being sent."""
        deflection = self.deflection
        return SendRules(
            deflection.caps.caps(),
            self.lookup.default_region,
            deflection.quiet_hours.hours(),
            interrupts=deflection.open_conversation == "send",
        )

    def session_variables(self) -> Variables:
        return Variables.configured(self.variables)

    def link_targets(self) -> dict[str, LinkTarget]:
        """Where deflection links may lead, in the order of the file."""
        links = self.links.items()
        return {name: link.target() for name, link in links if isinstance(link, LinkSettings)}

    def timeout_ms(self, crm: Crm) -> int:
        """How long this CRM may take for one lookup."""
        return crm.timeout_ms or self.lookup.late_ms
