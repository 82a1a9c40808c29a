"""`broker dead-letters`: what was given up, and what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.cli.table import table
from broker.domain.errors import BrokerError, ConfigError
from broker.logs import configure
from broker.parts import open_parts
from broker.usecases.dead_letters import DeadLetters

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from broker.ports import DeadLetter
    from broker.settings import Settings

HEAD = ("id", "channel", "state", "reason", "age")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "dead-letters",
        help="messages that were given up: list them, send them again, drop them",
        description="Lists what could not be delivered and what nobody knows of, and sends it "
        "again or drops it. Exits with 1 if an id was refused.",
    )
    add_config(parser)
    parser.add_argument("action", choices=("list", "retry", "drop"))
    parser.add_argument("ids", nargs="*", metavar="ID", help="as `list` shows them")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    settings = read_settings(args)
    if settings.store.in_memory:
        raise ConfigError("dead-letters needs a shared store: store.url is memory://")
    if (args.action == "list") == bool(args.ids):
        raise ConfigError("list takes no id; retry and drop need at least one")
    lines, refused = run_loop(act(settings, args.action, args.ids))
    print("\n".join(lines))
    for sentence in refused:
        print(f"broker: {sentence}", file=sys.stderr)
    return 1 if refused else 0


async def act(settings: Settings, action: str, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """What to print, and what was refused; one refusal does not stop the others."""
    async with open_parts(settings) as parts:
        await parts.ledger.ping()  # learns the store's time
        max_age_s = settings.dead_letters.max_age_h * 3600.0
        letters = DeadLetters(parts.ledger, parts.clock, max_age_s)
        known = {letter.id: letter for letter in await letters.all()}
        if action == "list":
            rows = [_row(letter, letters.age_s(letter)) for letter in known.values()]
            return [table([HEAD, *rows])], []
        done, refused = [], []
        for id_ in dict.fromkeys(ids):
            fault = await _one(letters, action, known.get(id_))
            if fault is None:
                done.append(f"{id_}  {'queued' if action == 'retry' else 'dropped'}")
            else:
                refused.append(f"{id_}: {fault}")
        return done, refused


async def _one(letters: DeadLetters, action: str, letter: DeadLetter | None) -> str | None:
    if letter is None:
        return "no dead letter has this id"
    try:
        return await (letters.retry(letter) if action == "retry" else letters.drop(letter))
    except BrokerError as error:
        return str(error)


def _row(letter: DeadLetter, age_s: float) -> tuple[str, str, str, str, str]:
    name = letter.work.partition(":")[2]
    message = letter.record.message(name) if letter.record is not None else None
    age = f"{age_s / 3600:.1f} h"
    if message is None:
        return letter.id, "-", "unreadable" if letter.record is None else "poison", "-", age
    return letter.id, message.channel, str(message.state), message.reason or "-", age
