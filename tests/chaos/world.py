"""A small installation on loopback: Redis, brokers, stand-ins, and a proxy on every connection.

    async with World.open(folder, replicas=2) as world:
        world.rule = ...                    # what the proxies do at each boundary
        call = world.new_call(premium=True)
        await world.ask("start", call, ...) # see stories.py
        world.judge()

Every mode of the proof is a short file that opens a world, plays `stories` and breaks something.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.chaos.configuration import (
    CRM_TOKEN,
    HOOK_SECRET,
    KEY,
    PLATFORM_TOKEN,
    Profile,
    configuration,
)
from tests.chaos.consents import ConsentBook
from tests.chaos.history import (
    Answered,
    Broke,
    Call,
    Healed,
    History,
    Person,
    Request,
    Seen,
    Stopped,
    Wrote,
)
from tests.chaos.oracle import violations
from tests.chaos.processes import (
    BROKER,
    Program,
    broker_command,
    redis_program,
    until_answers,
)
from tests.chaos.proxy import Boundary, Fault, Proxy, all_well
from tests.chaos.stand_ins import TEXT_TOKEN, StandIns
from tests.chaos.telling import Teller
from tests.chaos.wire import HttpWire, RedisWire, SmtpWire
from tests.servers import free_port, needs_redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from tests.chaos.history import Event
    from tests.chaos.proxy import Rule
from tests.chaos.wire import Wire

WIRES: dict[str, Callable[[], Wire]] = {
    "redis": RedisWire,
    "ivr": HttpWire,
    "crm": HttpWire,
    "smtp": SmtpWire,
    "hook": HttpWire,
    "sms": HttpWire,
}
"""Dependency -> how it is spoken to."""
_ANSWER_WITHIN_S = 2.0
_REPEAT_AFTER_S = 0.1
_TELLINGS = 200
_PATHS = {"start": "/v1/calls", "deflections": "/v1/deflections"}
"""Of requests about no call that is known yet."""
_LOOK_EVERY_S = 0.04
_FSYNC: dict[Profile, str] = {"fast": "everysec", "durable": "always"}


@dataclass(eq=False)
class Replica:
    """One broker process and the proxies that all it sends goes through."""

    name: str
    program: Program
    proxies: Sequence[Proxy]
    url: str


@dataclass(eq=False)
class World:
    """What one run of one mode happens in. Use `open`."""

    folder: Path
    random: random.Random
    http: aiohttp.ClientSession
    redis: Program
    stand_ins: StandIns
    events: list[Event]
    command: Sequence[str] = BROKER
    store: str | None = None
    """Where the brokers keep their calls, if not in `redis`."""
    profile: Profile = "fast"
    """What the store is said to survive; `redis` does."""
    keyed: bool = False
    """Whether tracking messages go to the provider that takes keys, and not by mail."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Other values than those of `_CONFIG`: `SERVER__MAX_BODY_BYTES` -> `100`."""
    replicas: list[Replica] = field(default_factory=list)
    rule: Rule = all_well
    """What every proxy does at a boundary."""
    _reviving: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _deflections: dict[str, str] = field(default_factory=dict)
    """What is no call -> the id that it was answered with."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        replicas: int = 2,
        seed: int = 0,
        command: Sequence[str] = BROKER,
        store: str | None = None,
        profile: Profile = "fast",
        keyed: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[World]:
        """`command` starts another program than the broker; the others: see the fields.

        With a `store` of its own there is no Redis here, and no proxy in front of one.
        """
        needs_redis_server()
        async with AsyncExitStack() as stack:
            events: list[Event] = []
            stand_ins = StandIns(events, HOOK_SECRET)
            await stack.enter_async_context(stand_ins.running())
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, headers={"X-Api-Key": KEY}
                )
            )
            redis = redis_program(folder, fsync=_FSYNC[profile])
            stack.push_async_callback(redis.kill)
            if store is None:
                await redis.start()
                await until_answers(redis.port)
                stand_ins.consents = await stack.enter_async_context(ConsentBook.open(redis.port))
            # A reproducible game, no secret.
            chance = random.Random(seed)  # noqa: S311
            world = cls(
                *(folder, chance, http, redis, stand_ins, events),
                command=command,
                store=store,
                profile=profile,
                keyed=keyed,
                settings=settings or {},
            )
            stand_ins.tell = Teller(world).tell
            for number in range(replicas):
                replica = await world._new_replica(f"replica-{number}", stack)
                stack.push_async_callback(replica.program.kill)
            await asyncio.gather(*(replica.program.start() for replica in world.replicas))
            try:
                yield world
            finally:
                await world.until_up(*world.replicas)

    async def _new_replica(self, name: str, stack: AsyncExitStack) -> Replica:
        upstream = {
            "ivr": self.stand_ins.http_port,
            "crm": self.stand_ins.http_port,
            "smtp": self.stand_ins.smtp_port,
            "hook": self.stand_ins.http_port,
            "sms": self.stand_ins.http_port,
        }
        if self.store is None:
            upstream["redis"] = self.redis.port
        proxies = {
            dependency: Proxy(name, dependency, port, WIRES[dependency], self._at)
            for dependency, port in upstream.items()
        }
        for proxy in proxies.values():
            await stack.enter_async_context(proxy.running())
        port = free_port()
        config = self.folder / f"{name}.toml"
        config.write_text(
            configuration(
                port,
                {name: proxy.port for name, proxy in proxies.items()},
                store=self.store,
                profile=self.profile,
                channel="hook" if self.keyed else "email",
            )
        )
        overridden = {f"BROKER_{key}": value for key, value in self.settings.items()}
        command = broker_command(config, self.command)
        program = Program(command, port, self.folder / f"{name}.log", overridden)
        replica = Replica(name, program, tuple(proxies.values()), f"http://127.0.0.1:{port}")
        self.replicas.append(replica)
        return replica

    async def _at(self, boundary: Boundary) -> Fault:
        return await self.rule(boundary)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def broke(self, what: str, *, lasts: bool = False) -> None:
        """Note that a fault begins; `lasts`: it goes on until `healed`."""
        self.events.append(Broke(self.now, what, lasts))

    def healed(self) -> None:
        """No more faults: from here on the brokers' time for the outcomes runs."""
        self.rule = all_well
        self.events.append(Healed(self.now))

    async def kill(self, replica: Replica, why: str = "") -> None:
        """SIGKILL; see `revive`."""
        self.broke(f"{replica.name} killed {why}")
        await replica.program.kill()

    def revive(self, replica: Replica) -> None:
        """Start a dead replica again, in the background."""
        self._reviving[replica.name] = asyncio.create_task(replica.program.start())

    async def restart(self, replica: Replica, command: Sequence[str] | None = None) -> None:
        """SIGTERM, its drain, and a new process; `command` starts another program then."""
        self.broke(f"{replica.name} restarted")
        assert await replica.program.terminate() == 0, f"{replica.name} did not end well"
        if command is not None:
            config = self.folder / f"{replica.name}.toml"
            replica.program.command = broker_command(config, command)
        await replica.program.start()

    async def metric(self, sample: str) -> float:
        """The sum of a metric over the replicas, by its name with labels; 0 where it is none."""
        texts = [await self._metrics(replica) for replica in self.replicas]
        lines = [line for text in texts for line in text.splitlines()]
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))

    async def _metrics(self, replica: Replica) -> str:
        async with self.http.get(f"{replica.url}/metrics") as answer:
            return await answer.text()

    async def until_up(self, *replicas: Replica) -> None:
        """Returns once all of these that were revived serve again."""
        for replica in replicas:
            if replica.name in self._reviving:
                await self._reviving[replica.name]

    def cut(self, *dependencies: str) -> None:
        """Reset the open connections to these dependencies; to all if none is named."""
        for replica in self.replicas:
            for proxy in replica.proxies:
                if not dependencies or proxy.dependency in dependencies:
                    proxy.cut()

    def new_call(
        self,
        *,
        premium: bool = False,
        by_reference: bool = False,
        standalone: bool = False,
        slow_s: float = 0,
    ) -> Call:
        """A call that rings now: a caller, a session and a customer that nobody else has."""
        number = len(self.stand_ins.calls) + 1
        digits = f"{number:07d}"
        # The customer must not be recognisable by the number: logs may show call ids.
        person = Person(
            f"cust-{number}",
            f"c{number}.{self.random.getrandbits(32):x}@mail.example",
            f"TRK{self.random.getrandbits(64):016x}",
            premium,
        )
        call = Call(
            f"{self.random.getrandbits(128):032x}",
            f"{self.random.getrandbits(128):032x}",
            f"+491511{digits}",
            person,
            digits if by_reference else None,
            standalone,
        )
        self.stand_ins.calls[call.id] = call
        if slow_s:
            self.stand_ins.slow[call.reference or call.number] = slow_s
        return call

    async def ask(
        self,
        request: Request,
        call: Call,
        body: dict[str, str] | None = None,
        *,
        at: Replica | None = None,
        tries: int = 200,
    ) -> int | None:
        """The status of the last answer, None if there was none.

        As an IVR does: first at one replica, then again wherever somebody answers.
        """
        path = _PATHS.get(request, f"/v1/calls/{call.id}/{request}")
        first = at or self.random.choice(self.replicas)
        others = [replica for replica in self.replicas if replica is not first] or [first]
        status = None
        for attempt in range(tries):
            replica = first if attempt == 0 else others[attempt % len(others)]
            answer = await self._post(replica.url + path, body or {})
            if answer is not None:
                status, content = answer
                code = content.get("code") if status >= 400 else None
                self.events.append(Answered(self.now, call.id, request, status, code))
                if call.standalone and status < 400:
                    self._deflections[call.id] = content["deflection_id"]
                if status < 500:
                    return status
            await asyncio.sleep(_REPEAT_AFTER_S)
        return status

    async def tell(
        self, call: Call, path: str, body: str, headers: Mapping[str, str], *, definite: bool
    ) -> None:
        """As a provider does: to any replica, until one takes it; noted if `definite`."""
        for _ in range(_TELLINGS):
            url = self.random.choice(self.replicas).url + path
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self.http.post(url, data=body, headers=headers) as answer:
                    if definite:
                        status = answer.status
                        self.events.append(Answered(self.now, call.id, "receipt", status))
                    if answer.status < 500:
                        return
            await asyncio.sleep(_REPEAT_AFTER_S)

    async def stop(self, call: Call) -> None:
        """Returns once it is recorded that this person wants no messages."""
        if self.stand_ins.consents is not None:
            await self.stand_ins.consents.stop(call)
            self.events.append(Stopped(self.now, call.id))

    async def _post(self, url: str, body: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        """Status and content; None if nobody answered."""
        try:
            async with self.http.post(url, json=body) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def look(self, call: Call, *, past: Replica | None = None) -> dict[str, Any] | None:
        """The call as some broker shows it now; None if none can tell or the call is not known.

        What is no call is shown as if it were one.

        `past`: not this one, if there is another. An answer is written down.
        """
        others = [replica for replica in self.replicas if replica is not past] or self.replicas
        replica = self.random.choice(others)
        path = f"/v1/calls/{call.id}"
        if call.standalone:
            path = f"/v1/deflections/{self._deflections.get(call.id, call.id)}"
        try:
            async with self.http.get(replica.url + path) as answer:
                if answer.status not in {200, 404}:
                    return None
                view = await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        if call.standalone and view is not None:
            view = _as_call(view)
        self.events.append(Seen(self.now, call.id, view))
        return view

    async def until(
        self, call: Call, reached: Any, within: float, *, past: Replica | None = None
    ) -> bool:
        """Whether a broker's view of the call satisfied `reached` within so many seconds."""
        ends = self.now + within
        while self.now < ends:
            view = await self.look(call, past=past)
            if view is not None and reached(view):
                return True
            await asyncio.sleep(_LOOK_EVERY_S)
        return False

    def written(self, call: Call) -> dict[str, Any]:
        """What stands in the call's session."""
        content: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, Wrote) and event.session_id == call.session_id:
                content |= event.variables
        return content

    @property
    def history(self) -> History:
        """What happened until now."""
        log = "".join(path.read_text() for path in self.folder.glob("replica-*.log"))
        secrets = (KEY, PLATFORM_TOKEN, CRM_TOKEN, HOOK_SECRET, TEXT_TOKEN)
        calls = tuple(self.stand_ins.calls.values())
        return History(calls, tuple(self.events), log, secrets)

    def judge(self) -> None:
        """AssertionError with the story of every call that a promise was broken to."""
        found = violations(self.history)
        assert not found, "\n".join(["", *map(str, found[:5]), f"{len(found)} violations"])


def _as_call(deflection: Mapping[str, Any]) -> dict[str, Any]:
    """What a broker says of a deflection without a call, as it says it of a call."""
    message = {**deflection, "purpose": "deflection"}
    ended = "done" if deflection["state"] not in {"queued", "sending"} else None
    return {
        "outcome": ended,
        "phase": "over",
        "lookup": None,
        "reason": deflection["reason"],
        "steps": [],
        "messages": [message],
        "variables": {},
    }
