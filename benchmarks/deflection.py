"""How soon a key press is answered, how soon its message goes out, and whether receipts pile up.

`python -m benchmarks.deflection [--rounds N] [--seconds N] [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import time
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import redis
import uvloop
from aiohttp import web

from benchmarks import machine
from benchmarks.contender import CONTENDERS, environment
from benchmarks.machine import LOAD_CPU, SERVER_CPU, Foreign, Pinned, free_port
from benchmarks.openloop import ACCEPTED, LOST, REFUSED, Call, Replica, offer
from benchmarks.stubs import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG = Path(__file__).with_name("deflection.toml")
ACCOUNT, TOKEN, PUBLIC = "AC" + "1" * 32, "benchmark-auth-token", "https://broker.example.com"
"""Also in deflection.toml."""
CHOICES_PER_S = 200
STARTS_PER_S = 100
RECEIPTS_PER_S = 1000
CALLED_WITHIN_S = 5.0
CLEAN = 0.05
"""Of the broker's core, at most, for others."""
_PAGE = """\
# Deflection
Made by `python -m benchmarks.deflection --rounds {rounds} --seconds {seconds}` on {date}. What is
measured: [benchmarks/README.md](../README.md).

{facts}
- Others took {foreign} of the broker's core in the rounds ({told}); load averages {loads}.

| what | p50 ms | p99 ms | wanted | how many |
|---|---|---|---|---|
{rows}

{lines}
"""


@dataclass(slots=True)
class Provider:
    """Takes messages in Twilio's shape, and notes when it was called for which number."""

    called: dict[str, float] = field(default_factory=dict)
    """Number -> seconds since the epoch."""
    taken: list[tuple[str, str]] = field(default_factory=list)
    """SID and callback of each message."""

    async def take(self, request: web.Request) -> web.Response:
        now = time.time()
        form = await request.post()
        self.called.setdefault(str(form["To"]), now)
        sid = f"SM{uuid4().hex}"
        self.taken.append((sid, str(form["StatusCallback"])))
        return web.json_response({"sid": sid, "status": "queued"}, status=201)

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


class Starts(Replica):
    """Call-starts that remember whose they are."""

    __slots__ = ("known",)

    def __init__(self, port: int) -> None:
        super().__init__(port, CONTENDERS["broker-202"].headers)
        self.known: deque[tuple[str, str]] = deque()
        """Call id and number."""

    def request(self, call: Call) -> bytes:
        number = f"+49151{len(self.known):08d}"
        self.known.append((call.session_id, number))
        body = (
            f'{{"call_id":"{call.session_id}","session_id":"{call.session_id}","from":"{number}"}}'
        )
        return _post("/v1/calls", body, "application/json", self.headers)


class Choices(Replica):
    """The key press of each of these calls, in turn."""

    __slots__ = ("pressed", "to_press")

    def __init__(self, port: int, known: deque[tuple[str, str]]) -> None:
        super().__init__(port, CONTENDERS["broker-202"].headers)
        self.to_press = known
        self.pressed: dict[str, tuple[str, float]] = {}
        """Number -> call id, and when the key was pressed, in seconds since the epoch."""

    def request(self, call: Call) -> bytes:  # noqa: ARG002 - any of them
        call_id, number = self.to_press.popleft()
        self.pressed[number] = (call_id, time.time())
        return _post(f"/v1/calls/{call_id}/choice", '{"key":"1"}', "application/json", self.headers)


class Receipts(Replica):
    """What Twilio tells of these messages: sent, then delivered; each signed."""

    __slots__ = ("to_tell",)

    def __init__(self, port: int, taken: Sequence[tuple[str, str]]) -> None:
        super().__init__(port, {})
        told = [(status, *one) for status in ("sent", "delivered") for one in taken]
        self.to_tell = deque(told)

    def request(self, call: Call) -> bytes:  # noqa: ARG002 - any of them
        status, sid, url = self.to_tell[0]
        self.to_tell.rotate(-1)  # if the load comes a little early, a receipt is told twice
        form = {"MessageSid": sid, "MessageStatus": status, "AccountSid": ACCOUNT}
        signed = url + "".join(name + form[name] for name in sorted(form))
        digest = hmac.digest(TOKEN.encode(), signed.encode(), hashlib.sha1)
        headers = {"X-Twilio-Signature": base64.b64encode(digest).decode()}
        path = url.removeprefix(PUBLIC)
        return _post(path, urlencode(form), "application/x-www-form-urlencoded", headers)


def _post(path: str, body: str, media: str, headers: Mapping[str, str]) -> bytes:
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {path} HTTP/1.1\r\nHost: broker.example.com\r\n{told}"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass(slots=True)
class Round:
    """One fresh broker: milliseconds, and what disturbed it."""

    answered: list[float]
    called: list[float]
    """From `queued_at` to the provider's being called."""
    called_after_request: list[float]
    receipts: list[float]
    behind: int
    """Receipts that were not answered when the last one had been due for a second."""
    offered: int
    lost: int
    choice_cpu_us: float
    """With the session writes and the message that follow."""
    writes: float
    """Session writes per choice."""
    receipt_cpu_us: float
    foreign: float
    statuses: Mapping[int, int]
    """Of the choices."""
    receipt_statuses: Mapping[int, int]


def broker(world: World, stack: ExitStack, provider: str) -> tuple[Pinned, int]:
    with redis.Redis.from_url(world.redis_url) as client:
        client.flushall()
    port = free_port()
    env = environment(world, world.sessions.url, port)
    env["BROKER_CHANNELS__SMS__BASE_URL"] = provider
    command = [*CONTENDERS["broker"].command[:-1], str(CONFIG)]
    log = world.folder / f"broker-{port}.log"
    process = stack.enter_context(Pinned(SERVER_CPU, command, log, env))
    process.wait_for(port)
    return process, port


async def measure(world: World, seconds: float) -> Round:
    """Calls begin; then their callers press the key; then the provider tells what became of it."""
    provider = Provider()
    runner = await provider.serve()
    host, http_port = runner.addresses[0][:2]
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        at = f"http://{host}:{http_port}"
        process, port = await loop.run_in_executor(None, broker, world, stack, at)
        starts = Starts(port)
        wanted = CHOICES_PER_S * seconds
        begun = await offer([starts], STARTS_PER_S, wanted * 1.2 / STARTS_PER_S)
        taken = {call.session_id for call in begun if call.status in ACCEPTED}
        await asyncio.sleep(1.0)
        before, written = Foreign.now(process), world.sessions.requests()
        choices = Choices(port, deque(one for one in starts.known if one[0] in taken))
        pressed = await offer([choices], CHOICES_PER_S, seconds)
        foreign = before.share_until(Foreign.now(process))
        await _all_called(provider, choices)
        worked_s = Foreign.now(process).own - before.own
        written = world.sessions.requests() - written
        queued = await _queued_at(port, choices)
        receipts = await _receipts(process, port, provider, seconds)
    await runner.cleanup()
    lost = sum(call.status == LOST for call in (*pressed, *receipts.calls))
    called = [
        ((provider.called[number] - queued[call_id]) * 1000, (provider.called[number] - at) * 1000)
        for number, (call_id, at) in choices.pressed.items()
        if number in provider.called and call_id in queued
    ]
    return Round(
        answered=[call.ms for call in pressed if call.status in ACCEPTED],
        called=[first for first, _ in called],
        called_after_request=[second for _, second in called],
        receipts=[call.ms for call in receipts.calls if call.status in ACCEPTED],
        behind=receipts.behind,
        offered=len(receipts.calls),
        lost=lost + len(choices.pressed) - len(called),
        choice_cpu_us=worked_s / len(pressed) * 1e6,
        writes=written / len(pressed),
        receipt_cpu_us=receipts.cpu_s / max(1, len(receipts.calls)) * 1e6,
        foreign=foreign,
        statuses=Counter(call.status for call in pressed),
        receipt_statuses=Counter(call.status for call in receipts.calls),
    )


async def _all_called(provider: Provider, choices: Choices) -> None:
    ends = time.monotonic() + CALLED_WITHIN_S
    while time.monotonic() < ends and len(provider.called) < len(choices.pressed):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _queued_at(port: int, choices: Choices) -> dict[str, float]:
    """Call id -> when the broker says that its message was queued, to the millisecond."""
    found: dict[str, float] = {}
    url, headers = f"http://127.0.0.1:{port}/v1", CONTENDERS["broker-202"].headers
    async with aiohttp.ClientSession(headers=headers) as http:
        for call_id, _ in choices.pressed.values():
            async with http.get(f"{url}/calls/{call_id}/trace") as answer:
                trace = (await answer.json())["trace"] if answer.ok else []
            asked = (note["at"] for note in trace if note["event"] == "deflection_asked")
            if (at := next(asked, None)) is not None:
                found[call_id] = datetime.fromisoformat(at).timestamp()
    return found


@dataclass(slots=True)
class Told:
    """What came of the receipts."""

    calls: list[Call]
    behind: int
    cpu_s: float


async def _receipts(process: Pinned, port: int, provider: Provider, seconds: float) -> Told:
    target = Receipts(port, provider.taken)
    seconds = min(seconds, len(target.to_tell) / RECEIPTS_PER_S * 0.95)
    cpu = process.cpu_s()
    calls = await offer([target], RECEIPTS_PER_S, seconds)
    late = calls[-1].due + 1.0
    return Told(calls, sum(not 0 < call.done < late for call in calls), process.cpu_s() - cpu)


def _row(what: str, values: Sequence[float], wanted: str) -> str:
    if len(values) < 2:
        return f"| {what} | - | - | {wanted} | {len(values)} |"
    p99 = quantiles(values, n=100)[98]
    return f"| {what} | {median(values):.1f} | {p99:.1f} | {wanted} | {len(values):,} |"


def page(rounds: Sequence[Round], seconds: int) -> str:
    """The result file; each figure over all clean rounds, or over all if none was."""
    shares = ", ".join(f"{one.foreign:.0%}" for one in rounds)
    clean = [one for one in rounds if one.foreign < CLEAN]
    told = f"{len(clean)} of {len(rounds)} rounds count" if clean else "none was clean, all count"
    played, rounds = len(rounds), clean or rounds

    def of(name: str) -> list[float]:
        return [value for one in rounds for value in getattr(one, name)]

    rows = [
        _row(f"`/choice` answered, {CHOICES_PER_S}/s", of("answered"), "p99 <= 20"),
        _row("queued until the provider is called", of("called"), "p50 <= 10"),
        _row("key pressed until the provider is called", of("called_after_request"), "-"),
        _row(f"receipt answered, {RECEIPTS_PER_S:,}/s, signed", of("receipts"), "none behind"),
    ]
    behind, offered = sum(one.behind for one in rounds), sum(one.offered for one in rounds)
    cpu = median(one.receipt_cpu_us for one in rounds)
    choice = median(one.choice_cpu_us for one in rounds)
    writes = median(one.writes for one in rounds)
    refused = sum(one.statuses.get(REFUSED, 0) for one in rounds)
    untaken = sum(one.receipt_statuses.get(REFUSED, 0) for one in rounds)
    lines = (
        f"Receipts not answered a second after the last one was due: {behind} of {offered:,}.\n"
        f"Broker CPU per receipt: {cpu:,.0f} us; per choice, with its message and "
        f"{writes:.1f} session writes: {choice:,.0f} us.\n"
        f"Answered 503: {refused} choices, {untaken} receipts. Without an answer: "
        f"{sum(one.lost for one in rounds)}."
    )
    return _PAGE.format(
        rounds=played,
        seconds=seconds,
        date=datetime.now(UTC).date(),
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        foreign=shares,
        told=told,
        loads=" ".join(f"{load:.1f}" for load in os.getloadavg()),
        rows="\n".join(rows),
        lines=lines,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="the Markdown file (default: only print)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU})
    rounds = []
    with TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(Path(folder), stack)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for _ in range(args.rounds):
                rounds.append(runner.run(measure(world, args.seconds)))
                print(page(rounds, args.seconds), flush=True)
    if args.output:
        args.output.write_text(page(rounds, args.seconds))


if __name__ == "__main__":
    main()
