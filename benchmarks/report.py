"""The figures as a Markdown page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median, quantiles
from typing import TYPE_CHECKING, TypeVar

from benchmarks import machine
from benchmarks.latency import RATE
from benchmarks.memory import LIVE_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contender import Contender
    from benchmarks.latency import Latency
    from benchmarks.memory import Memory
    from benchmarks.saturation import Window

T = TypeVar("T")
LAG_MS = 3.0
"""A latency run whose generator was later than this (p99) says nothing about the contender."""
PACKAGES = ("aiohttp", "uvloop", "orjson", "redis", "hiredis", "pydantic", "fastapi", "httpx")
HEAD = [
    "contender",
    "calls/s",
    "of yardstick",
    "CPU µs/call",
    "of yardstick",
    "Redis CPU µs/call",
    f"answer p50 / p99 ms at {RATE}/s",
    f"written p50 / p99 ms at {RATE}/s",
    "RSS MiB start / live",
    "Redis MiB live",
    "ready s",
    "refused or lost at full load",
    f"at {RATE}/s",
]
_PAGE = """\
# Benchmark of the call path
Made by `python -m benchmarks.run` on {today}. What is measured, and how to read it:
[benchmarks/README.md](../README.md).

{facts}

{table}

Full load: windows of {seconds:g} s, a fresh process for each, all contenders in turn: the median
(lowest to highest; clean / all windows). Shares of the yardstick: the median of the ratios
round by round. At a steady pace: the median over the runs (clean / all runs). Live: with {live:,}
calls going on.
"""


@dataclass(slots=True)
class Figures:
    """Everything measured of one contender; the n-th window belongs to the n-th round."""

    contender: Contender
    windows: list[Window] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    memory: Memory | None = None


def page(figures: Sequence[Figures], yardstick: Figures, seconds: float) -> str:
    rows = [_row(one, yardstick) for one in figures]
    today = dt.datetime.now(tz=dt.UTC).date()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    table = [HEAD, ["---"] * len(HEAD), *rows]
    return _PAGE.format(
        today=today,
        facts="\n".join(f"- {fact}" for fact in [*machine.facts(), packages]),
        seconds=seconds,
        live=LIVE_CALLS,
        table="\n".join(f"| {' | '.join(row)} |" for row in table),
    )


def _row(one: Figures, yardstick: Figures) -> list[str]:
    windows = _clean_or_all(one.windows, lambda window: window.clean)
    rates = [window.calls_per_s for window in windows]
    clean = sum(window.clean for window in one.windows)
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}; {clean}/{len(one.windows)}"
    return [
        one.contender.name,
        f"{median(rates):,.0f} ({spread})",
        _ratio(one, yardstick, lambda window: window.calls_per_s),
        f"{median(window.cpu_us for window in windows):,.0f}",
        _ratio(one, yardstick, lambda window: window.cpu_us),
        f"{median(window.redis_us for window in windows):,.0f}",
        _milliseconds(one.latencies, lambda run: run.answered),
        _milliseconds(one.latencies, lambda run: run.written),
        f"{one.memory.start:.0f} / {one.memory.live:.0f}" if one.memory else "-",
        f"{one.memory.redis:.0f}" if one.memory else "-",
        f"{one.memory.ready_s:.1f}" if one.memory else "-",
        _share(sum(w.errors for w in windows), sum(w.calls for w in windows)),
        _share(sum(r.lost for r in one.latencies), sum(len(r.answered) for r in one.latencies)),
    ]


def _share(failed: int, served: int) -> str:
    return f"{failed / (failed + served):.1%}" if failed + served else "-"


def _ratio(one: Figures, yardstick: Figures, figure: Callable[[Window], float]) -> str:
    pairs = list(zip(one.windows, yardstick.windows, strict=True))
    pairs = _clean_or_all(pairs, lambda pair: pair[0].clean and pair[1].clean)
    return f"{median(figure(mine) / figure(theirs) for mine, theirs in pairs):.2f}"


def _milliseconds(runs: list[Latency], of: Callable[[Latency], list[float]]) -> str:
    def clean(run: Latency) -> bool:
        return _percentile(run.lag, 99) < LAG_MS

    usable = _clean_or_all(runs, clean)
    if not usable:
        return "-"
    middle, tail = (median(_percentile(of(run), p) for run in usable) for p in (50, 99))
    return f"{middle:.2f} / {tail:.2f} ({sum(map(clean, runs))}/{len(runs)})"


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


def _clean_or_all(values: list[T], clean: Callable[[T], bool]) -> list[T]:
    """The clean ones, or all where there is none: the counts in the table tell."""
    return [value for value in values if clean(value)] or values
