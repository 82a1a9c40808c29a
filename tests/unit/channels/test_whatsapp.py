"""What Meta's callbacks say, who may send them, and what is sent to Meta."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.channels.whatsapp import WhatsAppChannel, WhatsAppOptions
from broker.channels.whatsapp.templates import fault, filled
from broker.domain.call import Phone
from broker.domain.errors import BadInputError, ConfigError, PermanentError, SignatureError
from broker.domain.messages import ReceiptState
from broker.http_client import open_session
from broker.ports import Callback, CallbackRead, Inbound, Receipt, VendorTemplate
from broker.testing.loopback import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NUMBER = "106540352242922"
SECRET = "secret"
OPTIONS: dict[str, Any] = {
    "phone_number_id": NUMBER,
    "access_token": "EAAG",
    "app_secret": f"{SECRET}\n",
    "verify_token": "ours",
    "countries": ["DE"],
}
TEMPLATE = VendorTemplate("ivr_deflect", "de", ("Ada", "https://b.example/d/x"))


@pytest.fixture
async def channel() -> AsyncIterator[WhatsAppChannel]:
    async with open_session(LOOPBACK) as http:
        yield WhatsAppChannel(WhatsAppOptions.model_validate(OPTIONS), http)


def posted(body: bytes, signature: str | None = None) -> Callback:
    digest = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    headers = {"x-hub-signature-256": signature or f"sha256={digest}"}
    return Callback("POST", "https://b.example/v1/channels/wa/callback", (), headers, body)


def asked(**query: str) -> Callback:
    pairs = tuple((f"hub.{name}", value) for name, value in query.items())
    return Callback("GET", "https://b.example/v1/channels/wa/callback", pairs, {}, b"")


def told(*values: dict[str, Any], number: str = NUMBER) -> Callback:
    """One entry for each, as Meta may bundle them."""
    entries = [
        {"id": "1", "changes": [{"field": "messages", "value": with_number(value, number)}]}
        for value in values
    ]
    return posted(orjson.dumps({"object": "whatsapp_business_account", "entry": entries}))


def with_number(value: dict[str, Any], number: str) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": number}
    return {"messaging_product": "whatsapp", "metadata": metadata, **value}


def status(state: str, **more: Any) -> dict[str, Any]:
    return {"statuses": [{"id": "wamid.1", "status": state, "timestamp": "1", **more}]}


def message(**content: Any) -> dict[str, Any]:
    return {"messages": [{"from": "4917604069001", "id": "wamid.9", "timestamp": "1", **content}]}


async def test_metas_question_is_answered_for_whoever_knows_the_token(
    channel: WhatsAppChannel,
) -> None:
    read = channel.read_callback(asked(mode="subscribe", verify_token="ours", challenge="1158"))
    assert (read.answer, read.content_type) == ("1158", "text/plain")


@pytest.mark.parametrize(
    "change",
    [
        {"verify_token": "theirs"},
        {"verify_token": ""},
        {"verify_token": "ours\udc80"},
        {"mode": "unsubscribe"},
        {"challenge": ""},
        {"challenge": "<script>\n"},
    ],
)
async def test_nobody_else_gets_his_challenge_back(
    channel: WhatsAppChannel, change: dict[str, str]
) -> None:
    query = {"mode": "subscribe", "verify_token": "ours", "challenge": "1158"}
    with pytest.raises(SignatureError):
        channel.read_callback(asked(**{**query, **change}))


async def test_a_published_signature_is_the_one_that_is_expected(channel: WhatsAppChannel) -> None:
    """The example of the whatsapp_sdk for Elixir: body `test`, key `secret`."""
    published = "sha256=0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914"
    with pytest.raises(BadInputError):  # the signature is right; `test` is no JSON
        channel.read_callback(posted(b"test", published))
    with pytest.raises(SignatureError):
        channel.read_callback(posted(b"Test", published))


@pytest.mark.parametrize(
    "signature", ["sha256=", "sha1=0", "0" * 64, "sha256=" + "0" * 64, "\udc80", " "]
)
async def test_a_wrong_signature_is_refused(channel: WhatsAppChannel, signature: str) -> None:
    with pytest.raises(SignatureError):
        channel.read_callback(posted(b"{}", signature))


async def test_without_a_signature_nothing_is_read(channel: WhatsAppChannel) -> None:
    with pytest.raises(SignatureError):
        channel.read_callback(replace(posted(b"{}"), headers={}))


@pytest.mark.parametrize("state", ["sent", "delivered", "read"])
async def test_a_receipt_names_the_attempt_by_our_reference(
    channel: WhatsAppChannel, state: str
) -> None:
    read = channel.read_callback(told(status(state, biz_opaque_callback_data="r.1")))
    assert read.receipts == (Receipt(ReceiptState(state), "wamid.1", "r.1"),)


async def test_a_failure_has_metas_code_and_nothing_of_its_words(channel: WhatsAppChannel) -> None:
    errors = [{"code": 131026, "title": "Message undeliverable", "message": "+49176 ..."}]
    read = channel.read_callback(told(status("failed", errors=errors)))
    assert read.receipts == (Receipt(ReceiptState.FAILED, "wamid.1", None, "131026"),)


async def test_a_failure_says_who_has_opted_out(channel: WhatsAppChannel) -> None:
    errors = [{"code": 131050, "title": "User has stopped marketing messages"}]
    failed = status("failed", errors=errors, recipient_id="4917604069001")
    (receipt,) = channel.read_callback(told(failed)).receipts
    assert (receipt.reason, receipt.opted_out) == ("131050", True)
    assert receipt.recipient == "+4917604069001"
    (sent,) = channel.read_callback(told(status("sent", recipient_id="4917604069001"))).receipts
    assert (sent.opted_out, sent.recipient) == (False, None)


async def test_a_reference_that_cannot_be_ours_is_dropped(channel: WhatsAppChannel) -> None:
    read = channel.read_callback(told(status("sent", biz_opaque_callback_data="../x")))
    assert read.receipts == (Receipt(ReceiptState.SENT, "wamid.1"),)


async def test_everything_in_one_callback_is_read_in_order(channel: WhatsAppChannel) -> None:
    """Statuses come out of order and bundled; what they mean is decided elsewhere."""
    text = message(type="text", text={"body": "Hello"})
    read = channel.read_callback(told(status("read"), status("sent"), text))
    assert [receipt.state for receipt in read.receipts] == ["read", "sent"]
    assert [answer.text for answer in read.inbound] == ["Hello"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "text", "text": {"body": "STOP"}}, "STOP"),
        ({"type": "button", "button": {"payload": "YES", "text": "Call me"}}, "Call me"),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Go"}},
            },
            "Go",
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "list_reply", "list_reply": {"id": "1", "title": "Two"}},
            },
            "Two",
        ),
        ({"type": "image", "image": {"id": "7", "caption": "Look"}}, "Look"),
        ({"type": "audio", "audio": {"id": "7"}}, ""),
    ],
)
async def test_what_a_person_answers_is_read(
    channel: WhatsAppChannel, content: dict[str, Any], text: str
) -> None:
    context = {"from": "15550783881", "id": "wamid.1"}
    read = channel.read_callback(told(message(**content, context=context)))
    assert read.inbound == (Inbound("+4917604069001", text, "wamid.9", "wamid.1"),)


@pytest.mark.parametrize(
    ("whatsapp_id", "number"),
    [
        ("5215512345678", "+525512345678"),
        ("557188654321", "+5571988654321"),
        ("551132345678", "+551132345678"),
    ],
    ids=["Mexico", "Brazil", "a fixed line"],
)
async def test_whoever_writes_or_has_opted_out_is_known_by_the_number_of_today(
    channel: WhatsAppChannel, whatsapp_id: str, number: str
) -> None:
    stop = {"from": whatsapp_id, "type": "text", "text": {"body": "STOP"}}
    errors = [{"code": 131050}]
    failed = status("failed", errors=errors, recipient_id=whatsapp_id)
    read = channel.read_callback(told(message(**stop), failed))
    assert [written.sender for written in read.inbound] == [number]
    assert [receipt.recipient for receipt in read.receipts] == [number]


@pytest.mark.parametrize(
    "identity",
    [
        {"from": "DE.13491208655302741918"},
        {"from": None, "from_user_id": "DE.13491208655302741918"},
    ],
)
async def test_who_shows_no_number_is_known_by_his_id(
    channel: WhatsAppChannel, identity: dict[str, Any]
) -> None:
    read = channel.read_callback(told(message(type="text", text={"body": "Hi"}, **identity)))
    assert [answer.sender for answer in read.inbound] == ["DE.13491208655302741918"]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"statuses": [{"id": "wamid.1", "status": "deleted"}]},
        {"statuses": "sent", "messages": {"from": "1"}},
        {"statuses": [None, 7, "sent"], "messages": [None, 7]},
        message(type="reaction", reaction={"emoji": "+"}),
        message(type="system", system={"body": "changed number"}),
        {"errors": [{"code": 130429}]},
        {"messages": [{"type": "text", "text": {"body": "nobody wrote this"}}]},
    ],
)
async def test_whatever_is_unknown_is_passed_over(
    channel: WhatsAppChannel, value: dict[str, Any]
) -> None:
    assert channel.read_callback(told(value)) == CallbackRead()


@pytest.mark.parametrize("body", [b"[]", b"1", b"{}", b'{"entry": [{"changes": [1, null]}]}'])
async def test_another_shape_is_nothing(channel: WhatsAppChannel, body: bytes) -> None:
    assert channel.read_callback(posted(body)) == CallbackRead()


async def test_what_concerns_another_number_of_the_account_is_not_ours(
    channel: WhatsAppChannel,
) -> None:
    text = message(type="text", text={"body": "Hello, accounting"})
    assert channel.read_callback(told(status("read"), text, number="7")) == CallbackRead()


async def test_people_may_have_whatsapp_on_any_line_that_is_not_toll_free(
    channel: WhatsAppChannel,
) -> None:
    numbers = ("+493023125001", "+4917604069001", "+498001234567", "+33612345678")
    phones = [phone for number in numbers if (phone := Phone.read(number))]
    assert channel.recipients is not None
    told = [channel.recipients.refusal(phone) for phone in phones]
    assert told == [None, None, "toll_free", "country"]


def test_a_template_is_filled_in_order() -> None:
    assert filled(TEMPLATE, None) == {
        "name": "ivr_deflect",
        "language": {"policy": "deterministic", "code": "de"},
        "components": [
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "text": "Ada"},
                    {"type": "text", "text": "https://b.example/d/x"},
                ],
            }
        ],
    }


def test_a_template_without_placeholders_has_no_components() -> None:
    assert "components" not in filled(replace(TEMPLATE, parameters=()), None)


def test_an_image_stands_in_the_header() -> None:
    image = "https://shop.example.com/x.png"
    [header, _] = filled(TEMPLATE, image)["components"]
    assert header["parameters"] == [{"type": "image", "image": {"link": image}}]


def test_a_name_cannot_break_metas_rules_for_blanks() -> None:
    """A line end, a tab or five blanks in a parameter are refused (132007)."""
    template = replace(TEMPLATE, parameters=("Ada\r\n\tvon  \x00  \u202eLove\ud800lace",))
    [body] = filled(template, None)["components"]
    assert body["parameters"] == [{"type": "text", "text": "Ada von Lovelace"}]


@pytest.mark.parametrize(
    "change", [{"language": None}, {"parameters": ("",)}, {"parameters": ("\u200b \n",)}]
)
def test_what_meta_would_refuse_in_any_case_is_not_sent(change: dict[str, Any]) -> None:
    with pytest.raises(PermanentError):
        filled(replace(TEMPLATE, **change), None)


def listed(**change: Any) -> dict[str, Any]:
    body = {"type": "BODY", "text": "Hi {{1}}, {{2}} and again {{1}}"}
    template = {"name": "ivr_deflect", "language": "de", "status": "APPROVED", "components": [body]}
    return {"data": [{**template, **change}]}


def test_a_template_that_fits_has_no_fault() -> None:
    assert fault(TEMPLATE, listed(), pictured=False) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "ivr_deflect_old"}, "unknown"),
        ({"language": "en_US"}, "en_US only, not in de"),
        ({"status": "PAUSED"}, "not approved (PAUSED)"),
        ({"components": []}, "has 0 placeholders, but gets 2"),
        ({"components": [{"type": "BODY", "text": "{{name}} {{link}}"}]}, "with names"),
        (
            {
                "components": [
                    *listed()["data"][0]["components"],
                    {"type": "HEADER", "format": "TEXT", "text": "For {{1}}"},
                ]
            },
            "header or a button",
        ),
        (
            {
                "components": [
                    *listed()["data"][0]["components"],
                    {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://x/{{1}}"}]},
                ]
            },
            "header or a button",
        ),
    ],
)
def test_a_template_that_would_fail_at_night_is_told_at_the_start(
    change: dict[str, Any], said: str
) -> None:
    assert said in (fault(TEMPLATE, listed(**change), pictured=False) or "")


def with_header(kind: str) -> dict[str, Any]:
    header = {"type": "HEADER", "format": kind, "text": "Your call"}
    return listed(components=[header, *listed()["data"][0]["components"]])


@pytest.mark.parametrize(
    ("kind", "pictured", "said"),
    [
        ("TEXT", False, None),
        ("IMAGE", True, None),
        ("IMAGE", False, "has a picture"),
        ("TEXT", True, "has no picture"),
        ("VIDEO", False, "cannot be filled (VIDEO)"),
    ],
)
def test_a_header_has_to_be_what_the_operator_says(
    kind: str, pictured: bool, said: str | None
) -> None:
    told = fault(TEMPLATE, with_header(kind), pictured=pictured)
    assert told is None if said is None else said in (told or "")


@pytest.mark.parametrize(
    "change",
    [
        {"phone_number_id": "+491713920000"},
        {"phone_number_id": "1/../2"},
        {"waba_id": "mine"},
        {"version": "latest"},
        {"version": "v23.0/x"},
        {"countries": []},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WhatsAppOptions.model_validate({**OPTIONS, **change})


@pytest.mark.parametrize("name", ["access_token", "app_secret", "verify_token"])
async def test_an_empty_secret_stops_the_start(name: str) -> None:
    options = WhatsAppOptions.model_validate({**OPTIONS, name: " \n"})
    async with open_session(LOOPBACK) as http:
        with pytest.raises(ConfigError):
            WhatsAppChannel(options, http)
