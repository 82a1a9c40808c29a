"""A stand-in for a CRM's HTTP API: holds the kit's people, and misbehaves as told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import orjson
from aiohttp import web

from broker.testing.people import PEOPLE, Person
from broker.testing.scripted_server import Answer, Asked, hang

if TYPE_CHECKING:
    from types import TracebackType

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKENS = "/oauth/token"
"""Where a vendor without a token address of its own hands tokens out."""


@dataclass(slots=True)
class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """Raise it in a handler: what the vendor answers to a request it does not take."""

    status: int
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeVendor(ABC):
    """One CRM on loopback, with the people of the kit in it. An async context manager.

    A vendor of one's own gives `options`, `record` and `routes`; its handlers read `self.records`
    and raise `Refusal`. Whatever the kit asks for (hang, 429, rubbish) is done here.
    """

    secrets: ClassVar[Sequence[str]] = ()
    """What the options hold that nobody may read."""

    def __init__(self, people: Sequence[Person] = PEOPLE) -> None:
        self.records = [self.record(person) for person in people]
        self.asked: list[Asked] = []
        """Every request but those for tokens."""
        self.working = 0
        """Requests that the vendor is answering now."""
        self.fault: Answer | None = None
        """What it answers instead, if anything; to requests for tokens it goes on answering."""
        self.spared = 0
        """How many more requests are answered as usual before that."""
        self.tickets: list[dict[str, Any]] = []
        """What `create_ticket` has opened, as the vendor keeps it."""
        self.notes: list[dict[str, Any]] = []
        """What `record_outcome` has written."""
        self.strays: list[str] = []
        """Requests for what the vendor does not have: an adapter's slip, or an injection."""
        self.url = ""
        self.port = 0
        """Where it listens; 0 = where there is room."""
        self._shapes: set[object] = set()
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """`[crm.<name>] options` that reach this vendor; `self.url` is known."""

    @abstractmethod
    def record(self, person: Person) -> dict[str, Any]:
        """A person as this vendor keeps him."""

    @abstractmethod
    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Method, path (as aiohttp knows it) and handler."""

    @abstractmethod
    def admits(self, request: web.Request) -> bool:
        """Whether the credentials are right."""

    def skeleton(self, asked: Asked) -> object:
        """What of a request must not depend on the value that was looked up.

        By default the names in query and body. A vendor that takes a query language looks deeper.
        """
        names = tuple(sorted(asked.query))
        content = asked.headers.get("Content-Type", "")
        return (names, _skeleton(orjson.loads(asked.body)) if "json" in content else None)

    def refuses(self, asked: Asked) -> bool:  # noqa: ARG002 - for who has the vendor's own schema
        """Whether the vendor's own schema forbids this request; then the answer is 400."""
        return False

    def shapes(self) -> set[object]:
        """The shapes of all requests so far."""
        return set(self._shapes)

    def hang(self) -> None:
        self.fault = hang()

    def recover(self) -> None:
        self.fault = None

    def revoke(self) -> None:  # noqa: B027 - many vendors hand out no tokens
        """All access tokens are refused from now on, as if they had expired."""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._around])
        for method, path, handler in self.routes():
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def gives_tokens(self, request: web.Request) -> bool:
        """Whether this is a request for a token."""
        return request.path == TOKENS

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.gives_tokens(request):
            return await handler(request)
        self.working += 1
        try:
            return await self._answer(request, handler)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        finally:
            self.working -= 1

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = await _asked(request)
        self.asked.append(asked)
        if self.fault is not None and not self.spared:
            return await self.fault(request)
        self.spared = max(0, self.spared - 1)
        resource = request.match_info.route.resource
        if resource is None:
            self.strays.append(asked.line)
            raise Refusal(404)
        self._shapes.add((request.method, resource.canonical, self.skeleton(asked)))
        if not self.admits(request):
            raise Refusal(401)
        if self.refuses(asked):
            raise Refusal(400)
        return await handler(request)


async def _asked(request: web.Request) -> Asked:
    return Asked(
        request.method,
        request.rel_url.raw_path,
        dict(request.query),
        request.headers.copy(),
        await request.read(),
    )


def _skeleton(node: object) -> object:
    """Names, without values; of a list the kinds of its items, as it may hold every spelling."""
    if isinstance(node, dict):
        return tuple((key, _skeleton(value)) for key, value in sorted(node.items()))
    if isinstance(node, list):
        return frozenset(_skeleton(item) for item in node)
    return type(node).__name__


def crowd(person: Person, count: int) -> list[Person]:
    """`count` records that all have the person's numbers and reference."""
    return [replace(person, id=f"{person.id}{i:05}") for i in range(count)]


async def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until `true()`; TimeoutError if it never is."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - the vendor does not tell
            await asyncio.sleep(0.005)
