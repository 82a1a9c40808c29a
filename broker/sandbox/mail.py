"""The mail server that delivers nothing: every mail goes into the outbox, parsed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default as modern
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aiosmtpd.smtp import SMTP

from broker.sandbox.state import Sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from broker.sandbox.state import SandboxState

HEADERS = (
    "Message-ID",
    "Date",
    "Reply-To",
    "Auto-Submitted",
    "Content-Language",
    "List-Unsubscribe",
)
"""The headers that the outbox shows, where a mail has them."""


class MailSink:
    """aiosmtpd's hooks: takes every mail for everybody, or misbehaves as the faults say."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds hooks by name and arguments
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        mode = self._state.faults.take_smtp("greylist", "reject", "hang")
        if mode == "greylist":
            return "451 4.7.1 Greylisted, try again later"
        if mode == "reject":
            return "550 5.1.1 No such user"
        if mode == "hang":
            await _until_disconnected()
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, server: Any, _session: Any, envelope: Any
    ) -> str:
        dropped = self._state.faults.take_smtp("drop") is not None
        content = parsed(envelope.content) | {"acknowledged": not dropped}
        self._state.outbox.extend(Sent("email", to, content) for to in envelope.rcpt_tos)
        if dropped:
            server.transport.abort()
            await _until_disconnected()
        return "250 2.0.0 OK: taken by the sandbox"


async def _until_disconnected() -> None:
    """Never returns: the hook is cancelled by aiosmtpd when the connection ends."""
    await asyncio.Event().wait()


def parsed(raw: bytes) -> dict[str, Any]:
    """`{from, subject, text, html, headers}`; a part that the mail does not have is None."""
    message: EmailMessage = message_from_bytes(raw, policy=modern)
    return {
        "from": message["From"],
        "subject": message["Subject"],
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "headers": {name: str(message[name]) for name in HEADERS if name in message},
    }


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else part.get_content().replace("\r\n", "\n")


@asynccontextmanager
async def mail_server(state: SandboxState, host: str, port: int) -> AsyncIterator[int]:
    """An SMTP server in this event loop; gives its port (0 = any free one)."""
    loop = asyncio.get_running_loop()
    sink = MailSink(state)
    connections: WeakSet[Any] = WeakSet()

    def connect() -> Any:
        connection = SMTP(sink, hostname="sandbox", enable_SMTPUTF8=True, loop=loop)
        connections.add(connection)
        return connection

    server = await loop.create_server(connect, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        await server.wait_closed()
