"""`broker check`: load everything, reach every part, and say what to do about what fails."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.cli.table import table
from broker.domain.errors import BrokerError, ConfigError, StoreUnavailableError
from broker.domain.premium import PremiumRule
from broker.logs import configure
from broker.parts import open_parts
from broker.usecases.approved import approved_faults

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Mapping, Sequence

    from broker.parts import Parts
    from broker.ports import Channel, Options, VendorTemplate
    from broker.settings import Settings

WITHIN_S = 10.0
"""A part that has not answered by then would not help during a call either."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of reaching one part, or what else an operator should know of it."""

    part: str
    state: Literal["ok", "FAILED", "note"]
    ms: int
    advice: str

    @property
    def works(self) -> bool:
        return self.state != "FAILED"

    @property
    def row(self) -> tuple[str, str, str, str]:
        return self.part, self.state, "" if self.state == "note" else str(self.ms), self.advice


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="load everything, reach every part, and say what is wrong",
        description="Loads the configuration and reaches the store, the platform, every CRM and "
        "every channel. Exits with 1 if one of them fails.",
    )
    add_config(parser)
    parser.add_argument(
        "--live",
        action="store_true",
        help="also create a session of its own on the platform, write to it and read it back",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    findings = run_loop(check(read_settings(args), live=args.live))
    print(table([("part", "state", "ms", "advice"), *(finding.row for finding in findings)]))
    return 0 if all(finding.works for finding in findings) else 1


async def check(settings: Settings, *, live: bool, within_s: float = WITHIN_S) -> list[Finding]:
    """One finding for each part, all reached at the same time; none takes over `within_s`.

    Then the notes: what no part could tell.
    """
    async with open_parts(settings) as parts:
        probes = _probes(parts)
        if live:
            probes["live session"] = parts.platform.probe_session()
        reached = (_reach(part, probe, within_s) for part, probe in probes.items())
        found = await asyncio.gather(*reached)
        return [*found, *await _unmapped_tiers(parts), *_links_off(parts)]


def _probes(parts: Parts) -> dict[str, Awaitable[str]]:
    driver = parts.settings.platform.driver
    return {
        "store": _ping(parts),
        f"platform {driver}": parts.platform.ping(),
        **{f"crm {crm.name}": crm.adapter.ping() for crm in parts.lookup.crms},
        **{f"crm {crm.name} (shadow)": crm.adapter.ping() for crm in parts.shadows.crms},
        **{f"channel {name}": channel.ping() for name, channel in parts.channels.items()},
        **{
            f"templates {name}": _templates(parts.channels[name], messages)
            for name, messages in parts.approved().items()
        },
        **({"number lookup": lookup.ping()} if (lookup := parts.numbers.lookup) else {}),
    }


async def _ping(parts: Parts) -> str:
    await parts.ledger.ping()
    if parts.settings.store.in_memory:
        return "in memory: a restart forgets every call"
    return "; ".join(await parts.store.check()) or f"answers, {parts.settings.store.promise}"


async def _templates(channel: Channel, messages: Sequence[VendorTemplate]) -> str:
    if faults := await approved_faults(channel, messages):
        raise ConfigError(*faults)
    return f"nothing is known against {len(messages)} approved messages"


async def _unmapped_tiers(parts: Parts) -> list[Finding]:
    """One note for each tier that calls have met and that is mapped to nothing today."""
    notes: list[Finding] = []
    for name, crm in parts.settings.crm.items():
        seen: Mapping[str, int] = {}
        with suppress(StoreUnavailableError):
            seen = await parts.tier_words.of(name)
        notes += [
            Finding(
                f"crm {name}",
                "note",
                0,
                f'the tier "{word}" is mapped neither to premium nor to standard; '
                f"met {times} times in the last 7 days",
            )
            for word, times in sorted(seen.items(), key=lambda item: -item[1])
            if _names_tier(crm.options, word)
        ]
    return notes


def _links_off(parts: Parts) -> list[Finding]:
    """One note for each link target that nobody is sent to today."""
    today = datetime.fromtimestamp(parts.clock.time(), UTC).date()
    return [
        Finding(
            f"link {name}",
            "note",
            0,
            f"nobody is sent there today: valid from {target.valid_from or 'ever'} "
            f"until {target.valid_until or 'further notice'}",
        )
        for name, target in parts.settings.link_targets().items()
        if not target.offered(today)
    ]


def _names_tier(options: Options, word: str) -> bool:
    """Whether the CRM's tier is still read, and `word` still means nothing; if anybody can tell."""
    if not hasattr(options, "premium"):
        return True
    rule = options.premium
    return isinstance(rule, PremiumRule) and rule.field is not None and rule.of(word) is None


async def _reach(part: str, probe: Awaitable[str], within_s: float) -> Finding:
    began = time.perf_counter()
    state: Literal["ok", "FAILED"] = "FAILED"
    try:
        async with asyncio.timeout(within_s):
            advice = await probe
        state = "ok"
    except TimeoutError:
        advice = f"no answer within {within_s:g} s: check the address and the network"
    except BrokerError as error:
        advice = str(error)
    except Exception as error:  # noqa: BLE001 - foreign code: the other parts are still told
        advice = f"the plug-in failed with {type(error).__name__}: tell its author"
    return Finding(part, state, round((time.perf_counter() - began) * 1000), advice)
