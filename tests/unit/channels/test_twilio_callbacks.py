"""What Twilio tells of messages and what people write back; nothing of it counts unsigned."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from broker.channels.twilio.callbacks import NO_REPLY, read_callback
from broker.domain.errors import BadInputError, SignatureError
from broker.domain.messages import ReceiptState
from broker.domain.opt_outs import Keyword
from broker.domain.twilio_signature import HEADER, twilio_signature
from broker.ports import Callback, CallbackRead, Inbound, Receipt

TOKEN = "account-token"
SID, OTHER_SID = "SM" + "1" * 32, "MM" + "2" * 32
URL = "https://broker.example.com/v1/channels/sms/callback"
NOTHING = CallbackRead()


def callback(url: str = URL, token: str = TOKEN, **form: str) -> Callback:
    """As Twilio sends it; its real ones hold more fields, which count for the signature alone."""
    fields = {"AccountSid": "AC" + "0" * 32, "ApiVersion": "2010-04-01", **form}
    headers = {
        HEADER: twilio_signature(token, url, fields.items()),
        "content-type": "application/x-www-form-urlencoded",
    }
    query = parse_qsl(urlsplit(url).query)
    return Callback("POST", url, query, headers, urlencode(fields).encode())


def read(url: str = URL, **form: str) -> CallbackRead:
    return read_callback(callback(url, **form), (TOKEN,))


def receipt(status: str, **form: str) -> Any:
    form = {"MessageSid": SID, "MessageStatus": status, "To": "+4915112345678", **form}
    (found,) = read(f"{URL}?m=r-1_a.b", **form).receipts
    return found


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("sent", ReceiptState.SENT),
        ("delivered", ReceiptState.DELIVERED),
        ("read", ReceiptState.READ),
    ],
)
def test_a_receipt_tells_how_far_the_message_got(status: str, state: ReceiptState) -> None:
    assert receipt(status) == Receipt(state, SID, "r-1_a.b", None)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("undelivered", "30006", "30006"),
        ("failed", "63016", "63016"),
        ("undelivered", "", "undelivered"),
        ("failed", "+4915112345678", "failed"),
        ("canceled", "0", "canceled"),
    ],
)
def test_a_failure_has_twilios_code_or_its_word(status: str, code: str, reason: str) -> None:
    assert receipt(status, ErrorCode=code) == Receipt(ReceiptState.FAILED, SID, "r-1_a.b", reason)


@pytest.mark.parametrize(
    ("code", "to"),
    [("21610", "+4915112345678"), ("63033", "whatsapp:+4915112345678")],
    ids=["sms", "whatsapp"],
)
@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_a_failure_says_who_has_opted_out(status: str, code: str, to: str) -> None:
    told = receipt(status, ErrorCode=code, To=to)
    assert (told.reason, told.opted_out, told.recipient) == (code, True, "+4915112345678")


def test_a_code_on_a_message_that_was_delivered_opts_nobody_out() -> None:
    assert receipt("delivered", ErrorCode="21610") == Receipt(
        ReceiptState.DELIVERED, SID, "r-1_a.b"
    )


@pytest.mark.parametrize("status", ["accepted", "queued", "sending", "scheduled", "invented", ""])
def test_what_comes_before_it_is_sent_and_new_words_tell_nothing(status: str) -> None:
    assert read(MessageSid=SID, MessageStatus=status) == NOTHING


@pytest.mark.parametrize("query", ["", "?m=", "?m=a%2Fb", "?m=" + "x" * 65, "?other=r1"])
def test_a_reference_that_is_not_ours_is_none(query: str) -> None:
    (found,) = read(URL + query, MessageSid=SID, MessageStatus="sent").receipts
    assert found == Receipt(ReceiptState.SENT, SID, None)


def test_what_somebody_texts_is_read_and_nothing_is_texted_back() -> None:
    told = read(
        SmsMessageSid=SID,
        SmsSid=SID,
        MessageSid=SID,
        SmsStatus="received",
        From="+4915112345678",
        To="+4915735980000",
        Body="STOP bitte\n",
        NumMedia="0",
    )
    assert told.inbound == (Inbound("+4915112345678", "STOP bitte\n", SID),)
    assert (told.receipts, told.answer, told.content_type) == ((), NO_REPLY, "text/xml")


def test_a_whatsapp_message_says_which_one_it_answers() -> None:
    (told,) = read(
        MessageSid=SID,
        SmsStatus="received",
        From="whatsapp:+4915112345678",
        Body="Ja",
        ButtonText="Ja",
        OriginalRepliedMessageSid=OTHER_SID,
        OriginalRepliedMessageSender="whatsapp:+4915735980000",
    ).inbound
    assert told == Inbound("+4915112345678", "Ja", SID, OTHER_SID)


@pytest.mark.parametrize("sender", ["+4915112345678", "whatsapp:+4915112345678"])
@pytest.mark.parametrize(
    ("told", "keyword"),
    [
        ("STOP", Keyword.STOP),
        ("START", Keyword.START),
        ("HELP", Keyword.HELP),
        ("", None),
        ("INVENTED", None),
    ],
)
def test_what_twilio_takes_for_a_keyword_is_one(
    sender: str, told: str, keyword: Keyword | None
) -> None:
    (written,) = read(
        MessageSid=SID, SmsStatus="received", From=sender, Body="Basta", OptOutType=told
    ).inbound
    assert written.keyword is keyword


@pytest.mark.parametrize(
    ("sender", "known"),
    [
        ("whatsapp:+5215512345678", "+525512345678"),
        ("whatsapp:+557188654321", "+5571988654321"),
        ("whatsapp:+551132345678", "+551132345678"),
        ("+5215512345678", "+5215512345678"),
    ],
    ids=["Mexico", "Brazil", "a fixed line", "an SMS"],
)
def test_whoever_writes_by_whatsapp_is_known_by_the_number_of_today(
    sender: str, known: str
) -> None:
    (written,) = read(MessageSid=SID, SmsStatus="received", From=sender, Body="STOP").inbound
    assert written.sender == known


def test_a_whatsapp_user_without_a_number_and_a_picture_without_words_are_read() -> None:
    (told,) = read(MessageSid=SID, From="whatsapp:US.1349aB", Body="", NumMedia="1").inbound
    assert told == Inbound("US.1349aB", "", SID)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"MessageSid": "../x", "MessageStatus": "sent"},
        {"CallSid": "CA" + "1" * 32, "CallStatus": "ringing"},
        {"MessageSid": SID, "Body": "hello"},
        {"MessageSid": SID, "Body": "hello", "From": "+49 151\r\n"},
        {"MessageSid": SID, "Body": "hello", "From": "whatsapp:"},
    ],
)
def test_what_is_signed_but_no_message_is_bad_input(form: dict[str, str]) -> None:
    with pytest.raises(BadInputError):
        read(**form)


def test_nothing_counts_unless_it_is_signed() -> None:
    good = callback(MessageSid=SID, MessageStatus="delivered")
    assert read_callback(good, ("new", TOKEN)).receipts
    for tokens in ((), ("other",)):
        with pytest.raises(SignatureError):
            read_callback(good, tokens)
    forged = callback(token="guessed", MessageSid=SID, From="+4915112345678", Body="STOP")
    with pytest.raises(SignatureError):
        read_callback(forged, (TOKEN,))


def test_a_receipt_of_one_message_is_none_of_another() -> None:
    """The reference stands in the address, which is signed."""
    good = callback(f"{URL}?m=mine", MessageSid=SID, MessageStatus="failed")
    other = f"{URL}?m=yours"
    moved = Callback("POST", other, [("m", "yours")], good.headers, good.body)
    assert read_callback(good, (TOKEN,)).receipts[0].reference == "mine"
    with pytest.raises(SignatureError):
        read_callback(moved, (TOKEN,))
