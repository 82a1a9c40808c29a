"""`broker lookup`: what each CRM answers for one number or reference, and what follows from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from broker.cli.common import add_config, read_settings
from broker.cli.loop import run_loop
from broker.cli.table import table
from broker.domain.call import Phone
from broker.domain.customer import Customer, LookupState
from broker.domain.errors import BadInputError
from broker.domain.masking import mask
from broker.domain.progress import Finding, decide
from broker.domain.record import NUMBER, Record, Step
from broker.logs import configure
from broker.parts import open_parts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from broker.domain.call import Reference
    from broker.domain.customer import Answer, LookupResult
    from broker.settings import Settings

FAILURES = frozenset({LookupState.ERROR, LookupState.TIMEOUT})
_OPEN = frozenset({"lookup", "route", "lookup_source"})
"""Sources of session variables that tell nothing about a person."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "lookup",
        help="what each CRM answers for one number or reference",
        description="Asks every CRM as a call would, and shows the answers, how long they took, "
        "and what a call's session would get.",
    )
    add_config(parser)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--phone", metavar="N", help="a caller's number, as the platform sends it")
    asked.add_argument("--reference", metavar="R", help="what a caller would type")
    parser.add_argument("--show", action="store_true", help="show personal data unmasked")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    configure(sys.stderr.buffer)
    settings = read_settings(args)
    query = parse_query(settings, args.phone, args.reference)
    answers, result = run_loop(ask(settings, query))
    print(report(settings, query, answers, result, show=args.show))
    return 1 if result.state in FAILURES else 0


def parse_query(settings: Settings, phone: str | None, reference: str | None) -> Phone | Reference:
    """What is asked for, read as a call's would be; BadInputError if nobody would be asked."""
    if phone is not None:
        number = settings.lookup.numbering().parse(phone)
        if isinstance(number, Phone):
            return number
        raise BadInputError("--phone is no valid number; a call with it would ask no CRM")
    typed = settings.reference.format().parse(reference)
    if typed is not None:
        return typed
    wanted = f"{settings.reference.length} {settings.reference.alphabet}"
    raise BadInputError(f"--reference does not fit [reference], which wants: {wanted}")


async def ask(settings: Settings, query: Phone | Reference) -> tuple[list[Answer], LookupResult]:
    """Every CRM's answer, waiting as long as a call listens for late ones; shadows do not count."""
    async with open_parts(settings) as parts:
        deadline_s = settings.lookup.deadline_ms / 1000
        asking = parts.lookup.ask(query, deadline_s)
        beside = replace(parts.lookup, crms=parts.shadows.crms).ask(query, deadline_s)
        seconds = settings.lookup.late_ms / 1000
        try:
            result, _ = await asyncio.gather(asking.until(seconds), beside.until(seconds))
            return [*asking.answers, *beside.answers], result
        finally:
            await asyncio.gather(asking.stop(), beside.stop())


def report(
    settings: Settings,
    query: Phone | Reference,
    answers: Sequence[Answer],
    result: LookupResult,
    *,
    show: bool,
) -> str:
    """All answers, then the result and the session variables it leads to."""
    rows: list[tuple[str, ...]] = [("crm", "lookup", "ms", "customer")]
    for answer in answers:
        rows += _answer_rows(answer, _label(settings, answer.crm), settings, show=show)
    silent = sorted(settings.crm.keys() - {answer.crm for answer in answers})
    rows += [(_label(settings, n), str(LookupState.TIMEOUT), "", "no answer") for n in silent]
    record = _record(settings, query, result)
    written = settings.session_variables()
    names = {name: source for source, name in written.names.items()}
    lines = [
        f"  {name} = {_text(value, show=show or names[name] in _OPEN)}"
        for name, value in written.of(record).items()
    ]
    source = f" from {result.source}" if result.source else ""
    reason = f" ({result.reason})" if result.reason else ""
    return "\n".join([table(rows), "", f"result: {result.state}{source}{reason}", *lines])


def _label(settings: Settings, crm: str) -> str:
    return f"{crm} (shadow)" if settings.crm[crm].shadow else crm


def _answer_rows(
    answer: Answer, label: str, settings: Settings, *, show: bool
) -> Iterator[tuple[str, ...]]:
    late = " (late)" if answer.ms > settings.lookup.deadline_ms else ""
    kept = f" (said {answer.age_s:.0f} s ago)" if answer.age_s is not None else ""
    first = (label, str(answer.state), f"{answer.ms}{late}{kept}")
    if not answer.customers:
        yield (*first, answer.reason or "")
    for place, customer in enumerate(answer.customers):
        yield (*(first if place == 0 else ("", "", "")), _told(customer, show=show))


def _told(customer: Customer, *, show: bool) -> str:
    """The fields that have a value."""
    values = {field.name: getattr(customer, field.name) for field in fields(customer)}
    known = {name: value for name, value in values.items() if value not in (None, (), {})}
    return ", ".join(f"{name}={_text(value, show=show)}" for name, value in known.items())


def _text(value: Any, *, show: bool) -> str:
    """A value of a customer or of a session variable, as a person reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ";".join(_text(item, show=show) for item in value)
    if isinstance(value, Mapping):
        return ";".join(f"{name}:{_text(item, show=show)}" for name, item in value.items())
    return str(value) if show else mask(str(value))


def _record(settings: Settings, query: Phone | Reference, result: LookupResult) -> Record:
    """A call in which nothing but this lookup happened."""
    name = NUMBER if isinstance(query, Phone) else "reference-1"
    record = Record(id="lookup", received_at=0.0, idle_at=0.0, steps=(Step(name, 0.0),))
    return decide(record, name, Finding(result, ms=0), settings.policy(), now=0.0)
