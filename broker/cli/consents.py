"""`broker consents`: who agreed to be written to, for whoever asks for the proof."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.domain.errors import ConfigError
from broker.logs import configure
from broker.parts import open_parts
from broker.stores.guards import line_of
from broker.stores.people import RedisConsents

if TYPE_CHECKING:
    import argparse

    from broker.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "consents",
        help="who agreed to be written to, when and how: one JSON line each",
        description="Prints every consent that is kept as one line of JSON, all of one person, "
        "then of the next. The lines hold numbers: mind where they go.",
    )
    add_config(parser)
    parser.add_argument("action", choices=("export",))
    parser.add_argument(
        "--since",
        type=_moment,
        default=0.0,
        metavar="WHEN",
        help="only those given then or later: 2026-11-01, or 2026-11-01T08:00+01:00 (else UTC)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    settings = read_settings(args)
    if settings.store.in_memory:
        raise ConfigError("consents needs a shared store: store.url is memory://")
    run_loop(export(settings, args.since))
    return 0


async def export(settings: Settings, since: float) -> None:
    """Print them as they are read: there may be many."""
    async with open_parts(settings) as parts:
        async for consent in RedisConsents(parts.store).export(since):
            print(line_of(consent))


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("must be a date like 2026-11-01") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
