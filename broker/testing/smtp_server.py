"""A real mail server on loopback that keeps what it takes, and misbehaves where it is told to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default as modern
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

Stage = Literal["EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"]
"""A command, or `.`: the mail has been read to its end and is not yet answered."""


class Silence(Enum):
    """What a server may do instead of answering."""

    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Taken:
    """One mail that the server has, with the envelope it came in."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    encrypted: bool
    logged_in: bool

    @property
    def mail(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=modern)


@dataclass(eq=False)
class SmtpServer:
    """Runs in the test's own loop. `port` is known once it runs."""

    tls: ssl.SSLContext | None = None
    """Offer STARTTLS with this."""
    login: tuple[str, str] | None = None
    """Demand this user and password. None = offer no login, unless encrypted."""
    faults: dict[Stage, str | Silence] = field(default_factory=dict)
    """What to say, or to do, instead of the normal answer."""
    inbox: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """The commands heard, over all connections."""
    port: int = 0
    _sessions: WeakSet[Any] = field(default_factory=WeakSet)

    @asynccontextmanager
    async def running(self, implicit_tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """`implicit_tls`: encrypt from the first byte, as port 465 does."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._session, "127.0.0.1", 0, ssl=implicit_tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for session in list(self._sessions):
                if session.transport is not None:
                    session.transport.abort()
            await server.wait_closed()

    def _session(self) -> Any:
        session = _Session(self)
        self._sessions.add(session)
        return session


class _Session(SMTP):
    """One connection. aiosmtpd finds commands and hooks by their names."""

    def __init__(self, owner: SmtpServer) -> None:
        self._owner = owner
        self.transport: Any
        super().__init__(
            self,
            hostname="mail.test",
            tls_context=owner.tls,
            auth_required=owner.login is not None,
            auth_require_tls=owner.tls is not None or owner.login is None,
            authenticator=self._knows,
            loop=asyncio.get_running_loop(),
        )

    def _knows(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, who: Any
    ) -> AuthResult:
        given = who if isinstance(who, LoginPassword) else LoginPassword(b"", b"")
        right = (given.login.decode(), given.password.decode()) == self._owner.login
        return AuthResult(success=right, handled=False)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if await self._normal("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if await self._normal("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        if await self._normal("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if await self._normal("DATA"):
            await super().smtp_DATA(arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        if await self._normal("QUIT"):
            await super().smtp_QUIT(arg)

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        fault = self._owner.faults.get(".")
        if isinstance(fault, str):
            return fault
        self._owner.inbox.append(
            Taken(
                envelope.mail_from,
                tuple(envelope.rcpt_tos),
                envelope.original_content,
                encrypted=self.transport.get_extra_info("sslcontext") is not None,
                logged_in=bool(session.authenticated),
            )
        )
        await self._normal(".")
        return "250 2.0.0 taken"

    async def _normal(self, stage: Stage) -> bool:
        """Whether this stage goes on as it should; if not, the fault has happened."""
        self._owner.commands.append(stage)
        match self._owner.faults.get(stage):
            case None:
                return True
            case str() as answer:
                await self.push(answer)
                return False
            case Silence.CLOSE:
                self.transport.close()
            case Silence.RESET:
                self.transport.abort()
        await asyncio.Event().wait()  # until aiosmtpd cancels it: the connection is gone
        return False
