"""A rendered message as a mail: one recipient, both bodies, and the headers of a machine."""

from __future__ import annotations

import hashlib
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING

from broker.domain.customer import one_email
from broker.domain.errors import PermanentError

if TYPE_CHECKING:
    from datetime import datetime

    from broker.channels.templates import Rendered


def mailbox(text: str) -> Address:
    """`Shop <orders@shop.example>` or a bare address; ValueError unless it is exactly one."""
    if not text.isprintable():
        raise ValueError("must be one line of text")
    header = SMTP.header_factory("From", text)
    if len(header.addresses) != 1 or header.defects or header.groups[0].display_name is not None:
        raise ValueError("must be one address, like `Shop <orders@shop.example>`")
    only: Address = header.addresses[0]
    if not _plain(only.addr_spec):
        raise ValueError("must have an address of plain ASCII characters")
    return only


def recipient(text: str) -> Address:
    """The address to send to; PermanentError unless it is exactly one, in plain ASCII."""
    if not _plain(text):
        raise PermanentError("the recipient is not one address in plain ASCII")
    try:
        return Address(addr_spec=text)
    except (ValueError, MessageError):
        raise PermanentError("the recipient's address is malformed") from None


def _plain(address: str) -> bool:
    """Anything beyond ASCII would need SMTPUTF8, which many mail servers do not speak."""
    return address.isascii() and one_email(address) == address


def message_id(reference: str, domain: str) -> str:
    """The same for every attempt, so that a mailbox can tell a repetition; without `<` and `>`."""
    digest = hashlib.sha256(reference.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{digest[:32]}@{domain}"


def compose(
    rendered: Rendered, *, sender: Address, to: Address, identity: str, date: datetime
) -> EmailMessage:
    """The mail as it goes out. Only the bodies say anything about the recipient."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = rendered.subject
    mail["Date"] = date
    mail["Message-ID"] = f"<{identity}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(rendered.text, cte="quoted-printable")
    mail.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    return mail
