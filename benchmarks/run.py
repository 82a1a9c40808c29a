"""Compares the broker with a yardstick and with the ordinary alternative, in one go."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks import latency, memory, saturation
from benchmarks.contender import CONTENDERS, YARDSTICK
from benchmarks.machine import LOAD_CPU
from benchmarks.report import Figures, page
from benchmarks.stubs import World

LATENCY_ROUNDS = 3
LATENCY_S = 5.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="windows per contender")
    parser.add_argument("--seconds", type=int, default=3, help="length of a window")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--output", type=Path, help="the Markdown file (default: only print)")
    return parser.parse_args()


async def compare(world: World, figures: list[Figures], rounds: int, seconds: int) -> None:
    """Fill `figures`; contenders take turns, so that a disturbance hits all of them alike."""
    for turn in range(rounds):
        for one in figures:
            window = saturation.measure(one.contender, world, seconds)
            one.windows.append(window)
            print(f"{turn + 1}/{rounds} {one.contender.name}: {window}", flush=True)
    others = [one for one in figures if not one.contender.full_load_only]
    for turn in range(min(rounds, LATENCY_ROUNDS)):
        for one in others:
            one.latencies.append(await latency.measure(one.contender, world, LATENCY_S))
            print(f"latency {turn + 1} {one.contender.name}", flush=True)
    for one in others:
        one.memory = await memory.measure(one.contender, world)
        print(f"memory {one.contender.name}: {one.memory}", flush=True)


def main() -> None:
    args = arguments()
    os.sched_setaffinity(0, {LOAD_CPU})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all we started is stopped
    names = dict.fromkeys(["yardstick", *args.only])
    figures = [Figures(CONTENDERS[name]) for name in names]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(Path(folder), stack)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(compare(world, figures, args.rounds, args.seconds))
    yardstick = next(one for one in figures if one.contender is YARDSTICK)
    text = page(figures, yardstick, args.seconds)
    if args.output:
        args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
