"""One conversation with a mail server that knows on which side of the final dot it broke."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from ssl import SSLError
from typing import TYPE_CHECKING, Annotated, Literal, cast

from aiosmtplib import SMTP, SMTPException, SMTPResponse, SMTPResponseException
from pydantic import AfterValidator, Field, SecretStr, model_validator

from broker.channels.mime import mailbox
from broker.domain.errors import AnswerLostError, ConfigError, PermanentError, TemporaryError
from broker.ports import Options

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from email.headerregistry import Address
    from ssl import SSLContext

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_GO_ON = 354
_FOR_GOOD = 5
"""First digit of the answers that will not change (RFC 5321, 4.2.1)."""
_FIRST_PERIOD = re.compile(rb"^\.", re.MULTILINE)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])", re.ASCII)


def _checked_mailbox(text: str) -> str:
    mailbox(text)
    return text


class SmtpOptions(Options):
    """`[smtp]`: the mail server that takes our mail."""

    host: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")
    port: int | None = Field(None, gt=0, le=65535)
    """None = the usual one: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` without TLS on the other side sends nothing: it never falls back."""
    username: str | None = None
    password: SecretStr | None = None
    sender: Annotated[str, AfterValidator(_checked_mailbox)]
    """`Shop <orders@shop.example>` or a bare address."""

    @model_validator(mode="after")
    def _whole_login(self) -> SmtpOptions:
        if (self.username is None) is not (self.password is None):
            raise ValueError("username and password belong together")
        return self

    @property
    def mailbox(self) -> Address:
        return mailbox(self.sender)

    @property
    def server_port(self) -> int:
        return self.port or _PORTS[self.security]


class Conversation:
    """From the connection to QUIT, for one mail.

    No method limits its own time: the caller does, and asks `handed_over` what the end of it
    means. Whoever opens it has to `close` it.
    """

    def __init__(self, options: SmtpOptions, tls: SSLContext | None) -> None:
        self._options = options
        self.handed_over = False
        """Whether the final dot went out: from then on the server may have taken the mail."""
        self._client = SMTP(
            hostname=options.host,
            port=options.server_port,
            use_tls=options.security == "tls",
            start_tls=False,  # `open` does it, so that it can say what is wrong
            tls_context=tls,
            # Not the machine's own name: that may be none, and nobody's business. It also costs a
            # name look-up that cannot be cancelled.
            local_hostname=options.mailbox.domain,
            timeout=None,
        )

    async def open(self) -> None:
        """Connect, secure and log in.

        TemporaryError: the server cannot be reached now. ConfigError: it will not have us.
        """
        client, options = self._client, self._options
        with _told("connecting to the mail server", ConfigError):
            await client.connect()
            await client.ehlo()
        if options.security == "starttls":
            if not client.supports_extension("starttls"):
                raise ConfigError("the mail server offers no STARTTLS, and nothing was sent")
            with _told("securing the connection to the mail server", ConfigError):
                await client.starttls()
                await client.ehlo()
        if options.username is not None and options.password is not None:
            if not client.supports_extension("auth"):
                raise ConfigError("the mail server offers no login")
            with _told("logging in to the mail server", ConfigError):
                await client.login(options.username, options.password.get_secret_value())

    async def hand_over(self, sender: str, recipient: str, mail: bytes) -> None:
        """Return once the server has taken `mail`, which has CRLF line ends.

        TemporaryError and PermanentError: not taken. AnswerLostError: nobody knows.
        """
        client = self._client
        with _told("naming the sender to the mail server", PermanentError):
            await client.mail(sender)
        with _told("naming the recipient to the mail server", PermanentError):
            await client.rcpt(recipient)
        with _told("announcing the mail to the mail server", PermanentError):
            response = await client.execute_command(b"DATA")
            if response.code != _GO_ON:
                raise SMTPResponseException(response.code, response.message)
        await self._send(mail)

    async def _send(self, mail: bytes) -> None:
        """The text up to the final dot, and the answer to it.

        aiosmtplib's own `data` raises the same error whether the connection broke before or after
        the dot; this is the same with a mark in between.
        """
        protocol = self._client.protocol
        if protocol is None:
            raise TemporaryError("the mail server went away before the mail was sent")
        with _told("sending the mail", PermanentError):
            protocol.write(_FIRST_PERIOD.sub(b"..", mail) + b".\r\n")
        self.handed_over = True
        try:
            response = await protocol.read_response()
        except (SMTPException, OSError):
            raise AnswerLostError("the mail server went away without an answer") from None
        _judge(response)

    async def quit(self) -> None:
        """Take leave. What goes wrong here changes nothing."""
        with suppress(SMTPException, OSError):
            await self._client.quit()

    def close(self) -> None:
        """Hang up, if that has not happened yet.

        At once: a server that hangs would keep a polite end over TLS waiting for half a minute.
        """
        transport = self._client.transport
        self._client.close()
        if transport is not None:
            cast("asyncio.Transport", transport).abort()


@contextmanager
def _told(doing: str, final: type[ConfigError | PermanentError]) -> Iterator[None]:
    """Errors of aiosmtplib as ours, before the final dot; `final` is what a 5yz answer means.

    Theirs hold addresses and the server's own words, so they are not kept as the cause.
    """
    try:
        yield
    except SMTPResponseException as error:
        text = f"{doing}: refused with {_code(error.code, error.message)}"
        raise (final if error.code // 100 == _FOR_GOOD else TemporaryError)(text) from None
    except (SMTPException, OSError) as error:
        if isinstance(error, SSLError) or isinstance(error.__cause__, SSLError):
            raise ConfigError(f"{doing}: its certificate or TLS version is not accepted") from None
        raise TemporaryError(f"{doing}: the connection failed") from None


def _judge(response: SMTPResponse) -> None:
    """Return if the answer to the final dot means that the mail was taken."""
    text = f"the mail server refused the mail with {_code(response.code, response.message)}"
    match response.code // 100:
        case 2:
            return
        case 4:
            raise TemporaryError(text)
        case 5:
            raise PermanentError(text)
    raise AnswerLostError("the mail server answered what is no answer to a mail")


def _code(code: int, message: str) -> str:
    """`550 5.1.1`: the codes without the server's words, which may repeat the address."""
    enhanced = _ENHANCED.match(message)
    return f"{code} {enhanced.group()}" if enhanced else str(code)
