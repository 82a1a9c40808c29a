"""The channel `email`: one mail per message, through the operator's own mail server."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.channels.mime import compose, message_id, recipient
from broker.channels.smtp import Conversation, SmtpOptions
from broker.channels.words import checked_words
from broker.domain.customer import clean
from broker.domain.errors import AnswerLostError, ConfigError, TemporaryError
from broker.ports import Channel

if TYPE_CHECKING:
    from email.message import EmailMessage

    from broker.channels.templates import Rendered, Templates
    from broker.ports import Envelope

__all__ = ["EmailChannel", "SmtpOptions"]

PING_WITHIN_S = 10.0
_QUIT_WITHIN_S = 1.0
"""The mail is taken by then; waiting for a good-bye only widens the gap until that is recorded."""
_SECURED = {"starttls": "with STARTTLS", "tls": "over TLS", "none": "without encryption"}


class EmailChannel(Channel):
    """Sends by SMTP, each mail over a connection of its own."""

    options_type = SmtpOptions

    def __init__(
        self,
        options: SmtpOptions,
        templates: Templates,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`ssl_context` takes the place of the system's certificates."""
        self._options = options
        self._templates = templates
        self._sender = options.mailbox
        self._tls = ssl_context
        if ssl_context is None and options.security != "none":
            self._tls = ssl.create_default_context()

    async def send(self, envelope: Envelope, *, within: float) -> str:
        """The mail's Message-ID, once the mail server has taken the mail; see `Channel`.

        Only what is wrong with this very mail is permanent. A server that will not have us (no
        STARTTLS, a bad certificate, a refused login) is something the operator can put right
        while the mail waits.
        """
        identity = message_id(envelope.reference, self._sender.domain)
        mail = self._compose(envelope, identity)
        until = asyncio.get_running_loop().time() + within
        conversation = self._conversation()
        try:
            await self._hand_over(conversation, mail, until)
            await _take_leave(conversation, until)
        finally:
            conversation.close()
        return identity

    async def ping(self) -> str:
        conversation = self._conversation()
        try:
            async with asyncio.timeout(PING_WITHIN_S):
                await conversation.open()
                await conversation.quit()
        except TimeoutError:
            raise TemporaryError("the mail server did not answer in time") from None
        finally:
            conversation.close()
        options = self._options
        login = ", logged in" if options.username is not None else ""
        where = f"{options.host}:{options.server_port}"
        return f"mail server {where} answers {_SECURED[options.security]}{login}"

    def _conversation(self) -> Conversation:
        return Conversation(self._options, self._tls)

    def _compose(self, envelope: Envelope, identity: str) -> EmailMessage:
        return compose(
            self._rendered(envelope),
            sender=self._sender,
            to=recipient(envelope.to),
            identity=identity,
            date=datetime.now(UTC),
        )

    def _rendered(self, envelope: Envelope) -> Rendered:
        """Words that are ready need no template; PermanentError for what no mail can show."""
        if envelope.text is None:
            return self._templates.render(envelope.purpose, envelope.language, envelope.values)
        text = checked_words(envelope.text).strip()
        title = clean(envelope.title or "") or text.splitlines()[0]
        return self._templates.words(title, text, envelope.language)

    async def _hand_over(
        self, conversation: Conversation, mail: EmailMessage, until: float
    ) -> None:
        (to,) = mail["To"].addresses
        try:
            async with asyncio.timeout_at(until):
                await conversation.open()
                await conversation.hand_over(self._sender.addr_spec, to.addr_spec, mail.as_bytes())
        except ConfigError as error:
            raise TemporaryError(str(error)) from None
        except TimeoutError:
            if conversation.handed_over:
                raise AnswerLostError("the mail server did not answer in time") from None
            raise TemporaryError("the mail server did not take the mail in time") from None


async def _take_leave(conversation: Conversation, until: float) -> None:
    soon = asyncio.get_running_loop().time() + _QUIT_WITHIN_S
    try:
        async with asyncio.timeout_at(min(until, soon)):
            await conversation.quit()
    except TimeoutError:
        return
