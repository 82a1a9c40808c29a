"""`broker rules test`: what the rules say of QA's cases, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.settings.rule_cases import read_cases
from broker.settings.rules import read_rules

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from broker.domain.offers import Rules
    from broker.domain.record import Offered
    from broker.settings.rule_cases import Case

FAILED = 1
ANY_CHANNEL = ("sms",)
"""Reaches the caller of a case that names none, under rules that name none."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "rules",
        help="check the rules by which callers are offered a channel",
        description="Works with the two files alone: no configuration, no server.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    test = actions.add_parser(
        "test",
        help="what the rules say of each case, and why",
        description="Prints one line per case: the rule that decided, and what spoke against each "
        "rule before it. Exit code 1 if a case ends otherwise than it expects, 2 if a file has "
        "faults; these are listed.",
    )
    test.add_argument("file", type=Path, metavar="FILE", help="the rules, as in rules.toml")
    test.add_argument("cases", type=Path, metavar="CASES", help="the cases, as in cases.toml")
    test.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    rules = read_rules(args.file)
    cases = read_cases(args.cases, rules.named_channels() or ANY_CHANNEL)
    failed = 0
    for case in cases:
        lines = list(told(case, rules))
        print("\n".join(lines))
        failed += len(lines) > 1
    print(f"\n{len(cases) - failed} of {len(cases)} cases as expected")
    return FAILED if failed else 0


def told(case: Case, rules: Rules) -> Iterator[str]:
    """One line, and one more for everything that is not as expected."""
    offer = rules.decide(case.situation)
    differences = case.differences(offer)
    why = "".join(
        f"; not {name}: {', '.join(no)}" for name, no in rules.explain(case.situation) if no
    )
    yield f"{'FAIL' if differences else 'ok  '}  {case.name}: {_said(offer)}{why}"
    for key, (wanted, came) in differences.items():
        yield f"      {key}: expected {wanted!r}, got {came!r}"


def _said(offer: Offered) -> str:
    if not offer.offer:
        return f"{offer.rule} -> no offer"
    kind = "only " if offer.forced else ""
    return f"{offer.rule} -> {kind}{', '.join(offer.channels)}"
