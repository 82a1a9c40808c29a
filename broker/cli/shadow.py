"""`broker shadow`: how CRMs in shadow mode compare with those that answer the calls."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.cli.table import table
from broker.domain.errors import ConfigError
from broker.domain.shadow import Result
from broker.logs import configure
from broker.parts import open_parts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from broker.domain.shadow import Difference, Tally
    from broker.settings import Settings

SHOWN = 10
HEAD = ("crm", "asked", *(str(result) for result in Result), "p50 ms", "p95 ms", "since")
CALL_HEAD = ("at", "call", "step", "result", "ms", "in the shadow / in the CRMs")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "shadow",
        help="how CRMs in shadow mode compare with those that answer the calls",
        description="Shows for each [crm.<name>] with shadow = true what came of asking it beside "
        "the others, and the latest calls in which it would have said something else (masked).",
    )
    add_config(parser)
    parser.add_argument("--crm", metavar="NAME", help="only this one")
    parser.add_argument(
        "--show",
        type=int,
        default=SHOWN,
        metavar="N",
        help=f"list so many of the latest differences of each (default {SHOWN})",
    )
    parser.add_argument("--reset", action="store_true", help="forget the counts and begin anew")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    settings = read_settings(args)
    if settings.store.in_memory:
        raise ConfigError("shadow needs a shared store: store.url is memory://")
    names = chosen(settings, args.crm)
    if args.reset:
        run_loop(reset(settings, names))
        print(f"counting from now: {', '.join(names)}")
    else:
        print(run_loop(report(settings, names, max(0, args.show))))
    return 0


def chosen(settings: Settings, name: str | None) -> list[str]:
    """The CRMs that are shown; ConfigError if there is none, or `name` is none of them."""
    names = [known for known, crm in settings.crm.items() if crm.shadow]
    if not names:
        raise ConfigError("no [crm.<name>] has shadow = true")
    if name is not None and name not in names:
        raise ConfigError(f"--crm: no CRM in shadow mode has this name (known: {', '.join(names)})")
    return names if name is None else [name]


async def reset(settings: Settings, names: Sequence[str]) -> None:
    async with open_parts(settings) as parts:
        for name in names:
            await parts.shadows.book.forget(name)


async def report(settings: Settings, names: Sequence[str], most: int) -> str:
    """The table of all, then for each the fields that differ and the latest differences."""
    async with open_parts(settings) as parts:
        book = parts.shadows.book
        tallies = {name: await book.tally(name) for name in names}
        latest = {name: (await book.differences(name))[:most] for name in names}
    parts_of = [table([HEAD, *(_row(name, tally) for name, tally in tallies.items())])]
    for name in names:
        fields = sorted(tallies[name].fields.items(), key=lambda item: (-item[1], item[0]))
        if fields:
            told = ", ".join(f"{field} {count}" for field, count in fields)
            parts_of.append(f"{name} differs in: {told}")
        if latest[name]:
            rows = [_call(difference) for difference in latest[name]]
            parts_of.append(f"{name}, latest differences:\n{table([CALL_HEAD, *rows])}")
    return "\n\n".join(parts_of)


def _row(name: str, tally: Tally) -> tuple[object, ...]:
    counts = (tally.results.get(result, 0) for result in Result)
    times = (_or_dash(tally.percentile(50)), _or_dash(tally.percentile(95)))
    since = _time(tally.since) if tally.since is not None else "-"
    return (name, tally.asked, *counts, *times, since)


def _call(difference: Difference) -> tuple[object, ...]:
    seen = difference.seen
    fields = ", ".join(
        f"{name} {_or_dash(one)} / {_or_dash(other)}" for name, (one, other) in seen.fields.items()
    )
    at = _time(difference.at)
    return at, difference.call_id, difference.step, seen.result, seen.ms, fields


def _or_dash(value: object) -> object:
    return "-" if value is None else value


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at))
