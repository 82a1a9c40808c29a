"""Just enough of three protocols to see where a request or a reply ends, and to name it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from asyncio import StreamReader

_CRLF = 2
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:\s*chunked", re.IGNORECASE | re.MULTILINE)
_SCRIPT_NAMES = {
    sha1(script.read_bytes(), usedforsecurity=False).hexdigest(): script.name.removesuffix(".lua")
    for script in (files("broker.stores") / "scripts").iterdir()
    if script.name.endswith(".lua")
}
BACKGROUND = frozenset(
    {"claim", "extend", "hello", "client", "ping", "auth", "select", "quit", "rset", "ehlo"}
)
"""What a broker asks by itself, now and then: no boundary of a call."""


class Wire(ABC):
    """One connection's protocol. Both readers raise EOFError when the other side hangs up."""

    greets = False
    """Whether the server speaks first."""

    @abstractmethod
    async def request(self, reader: StreamReader) -> tuple[str, bytes]:
        """What it is called, and its bytes."""

    @abstractmethod
    async def reply(self, reader: StreamReader) -> bytes: ...

    @abstractmethod
    def refusal(self) -> bytes:
        """A reply that says: not now."""


class RedisWire(Wire):
    """RESP 2 and 3: arrays of bulk strings there, any value back."""

    async def request(self, reader: StreamReader) -> tuple[str, bytes]:
        count = await _line(reader)
        parts = [await _value(reader) for _ in range(int(count[1:]))]
        words = [part.split(b"\r\n", 1)[1][:-_CRLF] for part in parts[:2]]
        return _command_name(words), b"".join((count, *parts))

    async def reply(self, reader: StreamReader) -> bytes:
        return await _value(reader)

    def refusal(self) -> bytes:
        return b"-LOADING Redis is loading the dataset in memory\r\n"


def _command_name(words: list[bytes]) -> str:
    name = words[0].decode().lower()
    if name == "evalsha":
        return _SCRIPT_NAMES.get(words[1].decode(), name)
    if name == "eval":
        return _SCRIPT_NAMES.get(sha1(words[1], usedforsecurity=False).hexdigest(), name)
    return name


async def _line(reader: StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n")


async def _value(reader: StreamReader) -> bytes:
    """One RESP value, with everything in it."""
    head = await _line(reader)
    kind, rest = head[:1], head[1:-_CRLF]
    if kind in b"$=!":
        return head + (await reader.readexactly(int(rest) + _CRLF) if int(rest) >= 0 else b"")
    if kind in b"*~>%":
        inner = int(rest) * (2 if kind == b"%" else 1)
        return b"".join([head, *[await _value(reader) for _ in range(inner)]])
    return head


class HttpWire(Wire):
    """HTTP/1.1; a request is called after its method and what it is about."""

    async def request(self, reader: StreamReader) -> tuple[str, bytes]:
        message = await _http_message(reader)
        method, target, _ = message.split(b" ", 2)
        path = urlsplit(target.decode()).path.strip("/").split("/")
        known = [part for part in path if part in {"sessions", "calls", "customers", "hook"}]
        return f"{method.decode()} {known[0] if known else path[-1]}", message

    async def reply(self, reader: StreamReader) -> bytes:
        return await _http_message(reader)

    def refusal(self) -> bytes:
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def _http_message(reader: StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if length := _LENGTH.search(head):
        return head + await reader.readexactly(int(length[1]))
    if _CHUNKED.search(head):
        return head + await _chunks(reader)
    return head


async def _chunks(reader: StreamReader) -> bytes:
    body = b""
    while True:
        size = await _line(reader)
        body += size + await reader.readexactly(int(size, 16) + _CRLF)
        if int(size, 16) == 0:
            return body


class SmtpWire(Wire):
    """SMTP without TLS; the text of a mail up to its final dot is the request `text`."""

    greets = True

    def __init__(self) -> None:
        self._in_text = False

    async def request(self, reader: StreamReader) -> tuple[str, bytes]:
        if self._in_text:
            self._in_text = False
            return "text", await reader.readuntil(b"\r\n.\r\n")
        line = await _line(reader)
        return line[:4].decode().strip().lower(), line

    async def reply(self, reader: StreamReader) -> bytes:
        lines = [await _line(reader)]
        while lines[-1][3:4] == b"-":
            lines.append(await _line(reader))
        self._in_text = lines[-1].startswith(b"354")
        return b"".join(lines)

    def refusal(self) -> bytes:
        return b"421 4.3.2 not now\r\n"
