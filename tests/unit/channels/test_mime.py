"""Whatever a CRM stores, a mail has one recipient and the headers we gave it."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default as modern
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.channels.mime import compose, mailbox, message_id, recipient
from broker.channels.smtp import SmtpOptions
from broker.channels.templates import Templates
from broker.domain.errors import PermanentError
from broker.domain.messages import TRACKING

if TYPE_CHECKING:
    from email.message import EmailMessage

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONTROLS = ("\r\n", "\r\n\r\n", "\x00", "\x0b", "\u2028", "\x85", "\u202e", "\ud800")
WORDS = ("\nBcc: eve@example.net", "=?utf-8?q?a?=", '<>,;"\\@', "{{7*7}}", " " * 80, "ü" * 80)
NASTY = st.sampled_from((*CONTROLS, *WORDS))


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Templates that put the name into the subject, which ours do not."""
    folder = tmp_path_factory.mktemp("templates")
    source = (
        "Subject: {% if name %}{{ name }}{% endif %}!\n\n{{ name|default('you') }} {{ link }}\n"
    )
    (folder / "tracking.en.txt").write_text(source)
    return Templates(folder)


def parsed(
    templates: Templates, name: str, sender: str = "orders@shop.example.com"
) -> EmailMessage:
    values = {"link": "https://shop.example.com/1", "name": name}
    mail = compose(
        templates.render(TRACKING, "en", values),
        sender=mailbox(sender),
        to=recipient("ada@example.com"),
        identity="1@shop.example.com",
        date=NOON,
    )
    return message_from_bytes(mail.as_bytes(), policy=modern)


@given(name=st.one_of(st.text(max_size=300), st.lists(st.one_of(NASTY, st.text())).map("".join)))
@settings(max_examples=300)
def test_no_name_changes_the_headers(talkative: Templates, name: str) -> None:
    mail = parsed(talkative, name)
    assert mail.keys() == HEADERS
    assert mail["To"] == "ada@example.com"
    assert mail["Message-ID"] == "<1@shop.example.com>"
    assert not mail.defects
    assert "\n" not in mail["Subject"]
    assert len(list(mail.iter_parts())) == 2


@pytest.mark.parametrize("name", ["Zoë", "李小龍", "{{7*7}}", 'Ada "Countess" Lovelace', "a, b; c"])
def test_a_name_in_the_subject_arrives_as_it_is(talkative: Templates, name: str) -> None:
    assert parsed(talkative, name)["Subject"] == f"{name}!"


@pytest.mark.parametrize(
    "sender", ["orders@shop.example.com", "Zoë's Shop <a@b.example>", '"Shop, Inc." <a@b.example>']
)
def test_a_sender_may_have_a_display_name(talkative: Templates, sender: str) -> None:
    (address,) = parsed(talkative, "Ada", sender)["From"].addresses
    assert address == mailbox(sender)


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "Shop",
        "Shop <orders>",
        "a@b.example, c@d.example",
        "Shop <a@b.example>\r\nBcc: eve@example.net",
        "Shop\x00 <a@b.example>",
        "Team: a@b.example;",
        "zoë@shop.example.com",
        "a@localhost\u2028.example",
    ],
)
def test_a_sender_that_is_not_one_address_stops_the_start(sender: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SmtpOptions(host="mail.example.com", sender=sender)
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("sender",)


@given(st.text(max_size=40).map("{}@example.com".format) | st.emails() | st.text(max_size=80))
@settings(max_examples=300)
def test_an_address_is_exactly_itself_or_refused(text: str) -> None:
    try:
        address = recipient(text)
    except PermanentError:
        return
    assert address.addr_spec == text


@pytest.mark.parametrize(
    "text", ["zoë@example.com", "ada@localhost", '"ada l"@example.com', "ada@[127.0.0.1]", "a, b"]
)
def test_what_many_mail_servers_would_not_take_is_said_beforehand(text: str) -> None:
    with pytest.raises(PermanentError, match="plain ASCII"):
        recipient(text)


def test_a_message_id_follows_from_the_reference_alone() -> None:
    first = message_id("call-1|tracking", "shop.example.com")
    assert first == message_id("call-1|tracking", "shop.example.com")
    assert first != message_id("call-2|tracking", "shop.example.com")
    assert "call-1" not in first


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_security(security: str, port: int) -> None:
    options = SmtpOptions.model_validate(
        {"host": "mail.example.com", "sender": "a@b.example", "security": security}
    )
    assert options.server_port == port


def test_starttls_is_the_default() -> None:
    assert SmtpOptions(host="mail.example.com", sender="a@b.example").security == "starttls"


@pytest.mark.parametrize("half", [{"username": "shop"}, {"password": "s3cret"}])
def test_half_a_login_stops_the_start(half: dict[str, str]) -> None:
    given_options = {"host": "mail.example.com", "sender": "a@b.example"} | half
    with pytest.raises(ValidationError, match="belong together") as caught:
        SmtpOptions.model_validate(given_options)
    assert "s3cret" not in str(caught.value)
