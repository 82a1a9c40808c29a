"""What it costs to decide whether a caller is offered a channel, by rules of a real size.

`python -m benchmarks.rules [--rounds N] [--output FILE]`
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from benchmarks import machine
from broker.domain.situation import Situation, share_point
from broker.settings.rules import rules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from broker.domain.offers import Rules

RULES = 30
SITUATIONS = 1000
_COUNTRIES = (
    ("+49", "Europe/Berlin", "DE"),
    ("+44", "Europe/London", "GB"),
    ("+33", "Europe/Paris", "FR"),
    ("+34", "Europe/Madrid", "ES"),
    ("+1", "America/New_York", "US"),
)
_PAGE = """\
# Rules for offers
Made by `python -m benchmarks.rules --rounds {rounds}` on {today}. What is measured:
[benchmarks/README.md](../README.md).

{facts}

| what | rules looked at | p50 us | p99 us | of one look at opening hours |
|---|---|---|---|---|
{rows}

A file of {rules} rules, every third of which has opening hours of its own, for called numbers in
{countries} countries with holidays. Each round takes all {situations} situations once, one after
the other; rounds of the rows are taken in turns, and each ratio within one round.
"""


def file_text() -> str:
    """A `rules.toml` with RULES rules."""
    lines = [
        'hours = "Mo-Fr 08:00-18:00; Sa 09:00-13:00; PH off"',
        'zone = "Europe/Berlin"\ncountry = "DE"\nchannels = ["sms", "whatsapp", "email"]',
        'never_reasons = ["emergency", "fraud", "complaint"]',
    ]
    lines += [
        f'[called."{prefix}"]\nzone = "{zone}"\ncountry = "{country}"\nlanguage = "en"'
        for prefix, zone, country in _COUNTRIES
    ]
    lines += [_rule(number) for number in range(RULES)]
    return "\n".join(lines)


def _rule(number: int) -> str:
    keys = [
        f'[[rule]]\nname = "rule-{number}"\noffer = true',
        f'branch = ["branch-{number}", "menu-{number}"]' if number % 3 == 1 else "",
        f'hours = "Mo-Fr {8 + number % 4:02}:00-20:00; PH off"' if number % 3 == 0 else "",
        "open = false" if number % 6 == 2 else "",
        f'tags = ["tag-{number}", "group-{number}"]' if number % 3 == 2 else "",
        f"min_ewt_seconds = {600 - 10 * number}",
        f"max_agents_available = {number // 8}" if number % 4 == 1 else "",
        "premium = false" if number % 5 == 4 else "",
        f"share = {0.1 + number / 100}" if number % 7 == 3 else "",
        'text = { de = "Etwa {minutes} Minuten.", en = "About {minutes} minutes." }',
    ]
    return "\n".join(key for key in keys if key)


def situations() -> Iterator[Situation]:
    """Calls of a year, of all kinds."""
    chance = random.Random(20)  # noqa: S311 - the same in every run
    began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for number in range(SITUATIONS):
        yield Situation(
            now=began + dt.timedelta(minutes=chance.randrange(365 * 1440)),
            channels=("sms", "email"),
            called=chance.choice(_COUNTRIES)[0] + "3012345",
            branch=f"branch-{chance.randrange(RULES)}",
            reason="invoice",
            ewt_seconds=float(chance.randrange(900)),
            agents_available=chance.randrange(5),
            prompts_heard=1,
            premium=chance.choice([True, False, None]),
            tags=(f"tag-{chance.randrange(RULES)}", "b2b", "newsletter"),
            language=chance.choice(["de", "en-GB", None]),
            share_point=share_point(str(number)),
        )


def took_us(ask: Callable[[Situation], object], asked: Sequence[Situation]) -> list[float]:
    took: list[float] = []
    for situation in asked:
        began = time.perf_counter_ns()
        ask(situation)
        took.append((time.perf_counter_ns() - began) / 1000)
    return took


def measure(rounds: int) -> list[str]:
    rules = rules_of(tomllib.loads(file_text()))
    mixed = list(situations())
    # Everything is known and nothing fits but for the wait: every rule is looked at.
    all_looked_at = [replace(situation, ewt_seconds=0.0) for situation in mixed]
    hours = next(c for c in rules.rules[0].conditions if c.key == "open")
    kinds: dict[str, tuple[Callable[[Situation], object], Sequence[Situation]]] = {
        "one look at opening hours": (hours.holds, mixed),
        "a decision": (rules.decide, mixed),
        "a decision, and no rule fits": (rules.decide, all_looked_at),
        "an explanation": (lambda situation: list(rules.explain(situation)), all_looked_at),
    }
    took: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (ask, asked) in kinds.items():
            took[kind].append(took_us(ask, asked))
    bare, *rest = took.items()
    return [
        _row(kind, rounds_of, bare[1], _looked_at(rules, kinds[kind][1]))
        for kind, rounds_of in rest
    ]


def _looked_at(rules: Rules, asked: Sequence[Situation]) -> float:
    return sum(len(list(rules.explain(situation))) for situation in asked) / len(asked)


def _row(
    kind: str, rounds: Sequence[list[float]], bare: Sequence[list[float]], looked_at: float
) -> str:
    cuts = quantiles([t for round_ in rounds for t in round_], n=100)
    ratio = median(median(one) / median(other) for one, other in zip(rounds, bare, strict=True))
    return f"| {kind} | {looked_at:.1f} | {cuts[49]:.1f} | {cuts[98]:.1f} | {ratio:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    page = _PAGE.format(
        rounds=args.rounds,
        today=dt.datetime.now(dt.UTC).date(),
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        rows="\n".join(measure(args.rounds)),
        rules=RULES,
        countries=len(_COUNTRIES),
        situations=SITUATIONS,
    )
    print(page)
    if args.output:
        args.output.write_text(page)


if __name__ == "__main__":
    main()
