"""What no single key can tell: settings that do not go together."""

from __future__ import annotations

import ipaddress
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from broker import plugins
from broker.domain.caching import AGING
from broker.domain.call import Alphabet
from broker.domain.customer import CUSTOMER_FIELDS
from broker.domain.messages import EMAIL, Sender, When
from broker.domain.variables import DEFAULTS, OPTIONAL_PROFILE, OPTIONAL_STEP, default_name
from broker.ports import CrmAdapter
from broker.settings import deflection_checks
from broker.settings.faults import Fault, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from broker.ports import Options
    from broker.settings.models import (
        ChannelSettings,
        Client,
        Crm,
        LookupSettings,
        PlatformSettings,
        Privacy,
        ReferenceSettings,
        Server,
        Settings,
        Store,
        TrackingSettings,
    )
    from broker.settings.voice import VoiceSettings

LOOPBACK = "127.0.0.1"
_SOURCES = frozenset({**DEFAULTS, **OPTIONAL_STEP, **OPTIONAL_PROFILE})
_SOURCE = re.compile(r"extra\.[^\s]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def faults(sections: Mapping[str, Any]) -> list[Fault]:
    """All that does not fit together; a check whose sections are not all valid is left out."""
    found: list[Fault] = []
    for check, needs in _CHECKS:
        if all(name in sections for name in needs):
            found += check(*(sections[name] for name in needs))
    return found


def settled(settings: Settings) -> Settings:
    """`settings`, on loopback only if nobody has a key, and saying so."""
    server = settings.server
    if server.clients or is_loopback(server.host):
        return settings
    warning = (
        "no [server.clients.<name>] has a key: listening on loopback only, server.host is ignored"
    )
    return settings.model_copy(
        update={
            "server": server.model_copy(update={"host": LOOPBACK}),
            "warnings": (*settings.warnings, warning),
        }
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _clients(server: Server) -> Iterator[Fault]:
    for word, secrets_of in (("key", _keys), ("hmac_secret", _hmac_secrets)):
        seen: dict[str, str] = {}
        for name, client in server.clients.items():
            owners = {seen.setdefault(secret, name) for secret in secrets_of(client)} - {name}
            for first in sorted(owners):
                path = ("server", "clients", name, word)
                yield Fault(path, f"is also the {word} of the client {first}")


def _keys(client: Client) -> list[str]:
    return client.keys


def _hmac_secrets(client: Client) -> list[str]:
    return client.hmac_secrets


def _memory(server: Server, store: Store) -> Iterator[Fault]:
    if not store.in_memory:
        return
    if store.profile == "durable":
        yield Fault(("store", "profile"), "is durable, which memory:// cannot be: name a Redis")
    if find_spec("fakeredis") is None:
        yield Fault(("store", "url"), 'memory:// needs the extra "embedded" to be installed')
    if server.clients and not is_loopback(server.host) and not store.allow_memory:
        problem = (
            "memory:// loses every call with the process: name a Redis server, or set "
            "store.allow_memory = true"
        )
        yield Fault(("store", "url"), problem)


def _retention(store: Store, privacy: Privacy) -> Iterator[Fault]:
    if store.call_idle_s > privacy.retention_h * 3600:
        yield Fault(("store", "call_idle_s"), "is longer than privacy.retention_h keeps a call")


def _hashing(privacy: Privacy) -> Iterator[Fault]:
    if privacy.log_numbers == "hashed" and privacy.hash_key is None:
        yield Fault(("privacy", "hash_key"), 'is missing; log_numbers = "hashed" needs it')


def _lookup_times(lookup: LookupSettings) -> Iterator[Fault]:
    if lookup.late_ms < lookup.deadline_ms:
        yield Fault(("lookup", "late_ms"), "is shorter than lookup.deadline_ms")
    if lookup.useful_s * 1000 < lookup.late_ms:
        yield Fault(("lookup", "useful_s"), "is shorter than lookup.late_ms")


def _write_time(platform: PlatformSettings, lookup: LookupSettings) -> Iterator[Fault]:
    writes_out = plugins.platform(platform.driver).writes_out
    if writes_out and platform.deadline_ms <= lookup.deadline_ms:
        problem = "must be longer than lookup.deadline_ms: it covers the lookup and the write"
        yield Fault(("platform", "deadline_ms"), problem)


def _some_crm(crm: Mapping[str, Crm]) -> Iterator[Fault]:
    if not crm:
        yield Fault(("crm",), "there is no [crm.<name>]; `broker init` writes an example")
    elif all(settings.shadow for settings in crm.values()):
        yield Fault(("crm",), "has only shadows: at least one CRM has to answer the calls")


def _caches(crm: Mapping[str, Crm]) -> Iterator[Fault]:
    for name, settings in crm.items():
        cache, path = settings.cache, ("crm", name, "cache")
        for field, seconds in cache.fields.items():
            if seconds < cache.found_s:
                yield Fault((*path, "fields", field), "is shorter than found_s, which covers it")
        if cache.not_found_s > cache.longest_s:
            problem = "is longer than a customer who was found is kept"
            yield Fault((*path, "not_found_s"), problem)


def _identities(crm: Mapping[str, Crm], lookup: LookupSettings) -> Iterator[Fault]:
    """What a cache still tells when its CRM is late has to be comparable with the others."""
    answering = {
        name: settings.cache.rules() for name, settings in crm.items() if not settings.shadow
    }
    key = lookup.same_person_key
    told_by = {"email", *([key if key in CUSTOMER_FIELDS else "extra"] if key else [])}
    for name, rules in answering.items():
        if rules is None or len(answering) == 1:
            continue
        longest = max(rules.oldest("premium"), rules.oldest("email"))
        for field in sorted(told_by & AGING):
            if rules.oldest(field) < longest:
                problem = "must be as long as premium and email: it says whether two CRMs mean one"
                yield Fault(("crm", name, "cache", "fields", field), f"{problem} person")


def _folding(crm: Mapping[str, Crm], reference: ReferenceSettings) -> Iterator[Fault]:
    if reference.alphabet is not Alphabet.KEYPAD or not reference.enabled:
        return
    for name, settings in crm.items():
        if not plugins.crm_adapter(settings.adapter).folds_reference:
            problem = 'cannot find what is typed with reference.alphabet = "keypad"'
            yield Fault(("crm", name, "adapter"), problem)


def _wrapped(server: Server, tracking: TrackingSettings) -> Iterator[Fault]:
    if tracking.url_template and tracking.link == "wrapped" and server.public_url is None:
        problem = 'is missing; tracking.link = "wrapped" needs it (or set link = "direct")'
        yield Fault(("server", "public_url"), problem)


def _mail(tracking: TrackingSettings, smtp: Options | None) -> Iterator[Fault]:
    email = tracking.email
    sends = email.sent_by is Sender.BROKER and email.when is not When.NEVER
    sends = sends and tracking.channel == EMAIL
    if tracking.url_template and sends and smtp is None:
        yield Fault(("smtp",), "is missing; the broker sends the tracking email")


def _channel(
    tracking: TrackingSettings, channels: Mapping[str, ChannelSettings]
) -> Iterator[Fault]:
    names = {EMAIL, *channels}
    if tracking.channel not in names:
        listed = ", ".join(sorted(names))
        yield Fault(("tracking", "channel"), f"there is no such channel (known: {listed})")
    elif tracking.channel != EMAIL:
        driver = plugins.channel(channels[tracking.channel].driver)
        if driver.reaches == "push":
            yield Fault(("tracking", "channel"), "is for apps: there is no tracking push message")


def _notes(crm: Mapping[str, Crm]) -> Iterator[Fault]:
    for name, settings in crm.items():
        adapter = plugins.crm_adapter(settings.adapter)
        if settings.notes and adapter.record_outcome is CrmAdapter.record_outcome:
            yield Fault(("crm", name, "notes"), "is for adapters that write notes")


def _voice(
    voice: VoiceSettings | None, server: Server, reference: ReferenceSettings
) -> Iterator[Fault]:
    if voice is not None:
        yield from voice.faults(server, reference)


def _variables(variables: Mapping[str, str | bool]) -> Iterator[Fault]:
    taken = {name: source for source, name in DEFAULTS.items()}
    for source in variables:
        taken = {name: owner for name, owner in taken.items() if owner != source}
    for source, wanted in variables.items():
        path = ("variables", source)
        if source not in _SOURCES and _SOURCE.fullmatch(source) is None:
            yield Fault(path, unknown(path, _SOURCES | {"extra.<key>"}))
            continue
        name = default_name(source) if wanted is True else wanted
        if not name:
            continue
        if _VARIABLE.fullmatch(name) is None:
            yield Fault(path, "must be a session variable: A-Z a-z 0-9 _ . - (at most 64)")
        elif taken.setdefault(name, source) != source:
            yield Fault(path, f"has the same session variable as {taken[name]}")


_CHECKS: tuple[tuple[Callable[..., Iterator[Fault]], tuple[str, ...]], ...] = (
    (_clients, ("server",)),
    (_memory, ("server", "store")),
    (_retention, ("store", "privacy")),
    (_hashing, ("privacy",)),
    (_lookup_times, ("lookup",)),
    (_write_time, ("platform", "lookup")),
    (_some_crm, ("crm",)),
    (_caches, ("crm",)),
    (_identities, ("crm", "lookup")),
    (_folding, ("crm", "reference")),
    (_wrapped, ("server", "tracking")),
    (_mail, ("tracking", "smtp")),
    (_channel, ("tracking", "channels")),
    (_notes, ("crm",)),
    (_voice, ("twilio_voice", "server", "reference")),
    (_variables, ("variables",)),
    *deflection_checks.CHECKS,
)
