"""`broker opt-outs`: who wants no messages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.domain.errors import ConfigError
from broker.domain.people import people_named
from broker.logs import configure
from broker.parts import open_parts
from broker.stores.people import RedisOptOuts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from broker.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "opt-outs",
        help="who wants no messages: add people, remove them, look them up",
        description="Keeps one person, by all numbers and addresses named, from being written to "
        "on any channel; lets him be written to again; or says which of the two holds.",
    )
    add_config(parser)
    parser.add_argument("action", choices=("add", "remove", "check"))
    parser.add_argument("--number", action="append", default=[], help="best with + and country")
    parser.add_argument("--email", action="append", default=[])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    settings = read_settings(args)
    if settings.store.in_memory:
        raise ConfigError("opt-outs needs a shared store: store.url is memory://")
    people = people_named(args.number, args.email, settings.lookup.numbering())
    if not people:
        raise ConfigError("name a person: --number, --email, or both")
    print(run_loop(act(settings, args.action, people)))
    return 0


async def act(settings: Settings, action: str, people: Sequence[str]) -> str:
    """What to print: how it is now."""
    async with open_parts(settings) as parts:
        opt_outs = RedisOptOuts(parts.store)
        await parts.ledger.ping()  # learns the store's time
        if action == "add":
            await opt_outs.stop(people, parts.clock.time())
        if action == "remove":
            await opt_outs.start(people)
        return "opted out" if await opt_outs.stopped(people) else "may be written to"
