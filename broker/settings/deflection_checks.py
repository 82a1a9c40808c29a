"""What does not go together in `[deflection]` and what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker import plugins
from broker.domain.context import SOURCES, is_source
from broker.domain.messages import EMAIL
from broker.domain.sms import segments
from broker.ports import CrmAdapter
from broker.settings.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from broker.ports import Options
    from broker.settings.deflection import DeflectionSettings
    from broker.settings.doors import CompatSettings
    from broker.settings.models import ChannelSettings, Crm, Privacy, Server

_LINK_ROOM, _HANDLE = "https://broker.example.com", "x" * 24
"""A link of a usual length, to count segments with."""


def _deflection(
    deflection: DeflectionSettings, channels: Mapping[str, ChannelSettings], smtp: Options | None
) -> Iterator[Fault]:
    """Everything that `[deflection]` names is there, and says what it needs."""
    known = set(channels) | ({EMAIL} if smtp is not None else set())
    templates = deflection.all_templates()
    for path, names in _named_channels(deflection):
        for name in sorted(set(names) - known):
            listed = ", ".join(sorted(known)) or "none"
            yield Fault(path, f"there is no channel {name} (known: {listed})")
    for path, template in _named_templates(deflection, channels):
        if template is not None and template not in templates:
            listed = ", ".join(sorted(templates))
            yield Fault(path, f"there is no such template (known: {listed})")
    if deflection.auto_offer and deflection.rules is None:
        yield Fault(("deflection", "auto_offer"), "needs deflection.rules")
    for name, one in templates.items():
        for problem in one.faults():
            yield Fault(("deflection", "templates", name), problem)


def _short_enough(
    deflection: DeflectionSettings, channels: Mapping[str, ChannelSettings], server: Server
) -> Iterator[Fault]:
    """Every template's words fit into the segments of every SMS channel that may send them."""
    limits = [getattr(channel.options, "max_segments", None) for channel in channels.values()]
    least = min((limit for limit in limits if limit is not None), default=None)
    link = f"{server.public_url or _LINK_ROOM}/d/{_HANDLE}"
    for name, template in deflection.all_templates().items():
        if least is None or template.faults():
            continue
        for language in template.texts:
            if segments(template.words(language, link).text) > least:
                path = ("deflection", "templates", name, "texts")
                yield Fault(path, f"{language}: is longer than max_segments = {least} of a channel")


def _named_channels(
    deflection: DeflectionSettings,
) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    yield ("deflection", "channels"), deflection.channels
    yield ("deflection", "keys"), _channels_of(deflection.keys)
    for name, branch in deflection.branches.items():
        path = ("deflection", "branches", name)
        yield (*path, "channels"), branch.channels
        yield (*path, "keys"), _channels_of(branch.keys)
    for name, template in deflection.templates.items():
        yield ("deflection", "templates", name, "approved"), tuple(template.approved)
    yield ("deflection", "caps", "prices"), tuple(deflection.caps.prices)
    yield ("deflection", "quiet_hours", "channels"), deflection.quiet_hours.channels


def _channels_of(keys: Mapping[str, str]) -> list[str]:
    """The channels that actions name: `deflect:<channel>`."""
    return [channel for action in keys.values() if (channel := action.partition(":")[2])]


def _named_templates(
    deflection: DeflectionSettings, channels: Mapping[str, ChannelSettings]
) -> Iterator[tuple[tuple[str, ...], str | None]]:
    yield ("deflection", "template"), deflection.template
    yield ("deflection", "abandoned", "template"), deflection.abandoned.template
    for name, branch in deflection.branches.items():
        yield ("deflection", "branches", name, "template"), branch.template
    for name, channel in channels.items():
        yield ("channels", name, "template"), channel.template


def _compat(
    compat: CompatSettings,
    deflection: DeflectionSettings,
    channels: Mapping[str, ChannelSettings],
    smtp: Options | None,
) -> Iterator[Fault]:
    known = set(channels) | ({EMAIL} if smtp is not None else set())
    yield from compat.faults(known, deflection.all_templates())
    if compat.adereso.senders and not deflection.channels:
        yield Fault(("deflection", "channels"), "is missing; [compat.adereso] sends by them")


def _tickets(deflection: DeflectionSettings, crm: Mapping[str, Crm]) -> Iterator[Fault]:
    name = deflection.ticket_crm
    if name is None:
        return
    if name not in crm:
        problem = f"there is no such CRM (known: {', '.join(sorted(crm)) or 'none'})"
        yield Fault(("deflection", "ticket_crm"), problem)
    elif plugins.crm_adapter(crm[name].adapter).create_ticket is CrmAdapter.create_ticket:
        yield Fault(("deflection", "ticket_crm"), "is a CRM whose adapter opens no tickets")


def _look_back(deflection: DeflectionSettings, privacy: Privacy) -> Iterator[Fault]:
    if deflection.channels and deflection.look_back_h > privacy.retention_h:
        problem = "is longer than privacy.retention_h keeps a deflection"
        yield Fault(("deflection", "look_back_h"), problem)


def _nights(deflection: DeflectionSettings, privacy: Privacy) -> Iterator[Fault]:
    """What waits for the morning is still there then, and so is what its link leads to."""
    hours, path = deflection.quiet_hours.hours(), ("deflection", "quiet_hours")
    if hours is None:
        return
    if deflection.channels and hours.lasts_s >= deflection.look_back_h * 3600:
        yield Fault(path, "is no shorter than deflection.look_back_h, after which links have ended")
    elif hours.lasts_s >= privacy.retention_h * 3600:
        yield Fault(path, "is no shorter than privacy.retention_h keeps a message that waits")


def _context(deflection: DeflectionSettings) -> Iterator[Fault]:
    """What `[deflection.context]` names can be told."""
    context, path = deflection.context, ("deflection", "context")
    named = {"fields": context.fields, "user": context.user.values()}
    for key, sources in (named | {"ticket": context.ticket.values()}).items():
        for source in sources:
            if not is_source(source):
                listed = ", ".join(sorted(SOURCES))
                problem = f"there is no {source} (known: {listed}, extra.<key>, data.<key>)"
                yield Fault((*path, key), problem)


def _links(deflection: DeflectionSettings, links: Mapping[str, object]) -> Iterator[Fault]:
    for name, template in deflection.templates.items():
        for missing in sorted(set(template.links) - set(links)):
            listed = ", ".join(sorted(links)) or "none"
            path = ("deflection", "templates", name, "links")
            yield Fault(path, f"there is no [links.{missing}] (known: {listed})")


def _abandoned(deflection: DeflectionSettings) -> Iterator[Fault]:
    if deflection.abandoned.max_age_days > deflection.consents_kept_days:
        problem = "is longer than deflection.consents_kept_days keeps a consent"
        yield Fault(("deflection", "abandoned", "max_age_days"), problem)


def _landing(server: Server, deflection: DeflectionSettings) -> Iterator[Fault]:
    if deflection.channels and server.public_url is None:
        yield Fault(("server", "public_url"), "is missing; [deflection] links begin with it")


CHECKS: tuple[tuple[Callable[..., Iterator[Fault]], tuple[str, ...]], ...] = (
    (_deflection, ("deflection", "channels", "smtp")),
    (_compat, ("compat", "deflection", "channels", "smtp")),
    (_abandoned, ("deflection",)),
    (_landing, ("server", "deflection")),
    (_tickets, ("deflection", "crm")),
    (_look_back, ("deflection", "privacy")),
    (_nights, ("deflection", "privacy")),
    (_context, ("deflection",)),
    (_links, ("deflection", "links")),
    (_short_enough, ("deflection", "channels", "server")),
)
