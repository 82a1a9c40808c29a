"""A tracking link leads to one order, for a while, and nowhere else."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.customer import Customer
from broker.domain.errors import PermanentError
from broker.domain.messages import TRACKING
from broker.ports import Clock
from broker.testing.fake_links import FakeLinks
from broker.usecases.tracking import TrackingLinks, envelope_for

TEMPLATE = "https://shop.example.com/track/{track_id}?from=mail"
DAY_S = 86_400


class StoppedClock(Clock):
    """Stands at `now` until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


CLOCK = StoppedClock()


def direct(template: str | None = TEMPLATE) -> TrackingLinks:
    return TrackingLinks(FakeLinks(CLOCK), CLOCK, template, None, "direct")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def kept(clock: StoppedClock) -> FakeLinks:
    return FakeLinks(clock)


@pytest.fixture
def wrapped(clock: StoppedClock, kept: FakeLinks) -> TrackingLinks:
    return TrackingLinks(kept, clock, TEMPLATE, "https://broker.example.com", expires_days=7)


async def test_a_direct_link_is_the_operators_own() -> None:
    assert await direct().make("1A-2B", "c1") == "https://shop.example.com/track/1A-2B?from=mail"


async def test_a_wrapped_link_shows_nothing_of_the_order(wrapped: TrackingLinks) -> None:
    link = await wrapped.make("1A-2B", "c1")
    start, _, token = link.rpartition("/")
    assert start == "https://broker.example.com/t"
    assert len(token) == 43
    assert "1A-2B" not in link


async def test_following_a_wrapped_link_leads_to_the_order(wrapped: TrackingLinks) -> None:
    token = (await wrapped.make("1A-2B", "c1")).rpartition("/")[2]
    for _ in range(3):
        assert await wrapped.follow(token) == "https://shop.example.com/track/1A-2B?from=mail"


async def test_who_reads_the_store_cannot_follow_its_links(
    wrapped: TrackingLinks, kept: FakeLinks
) -> None:
    token = (await wrapped.make("1A-2B", "c1")).rpartition("/")[2]
    (stored,) = kept.kept
    assert token not in stored
    assert await wrapped.follow(stored) is None
    assert await wrapped.follow(stored[:43]) is None


async def test_a_link_expires(wrapped: TrackingLinks, clock: StoppedClock) -> None:
    token = (await wrapped.make("1A-2B", "c1")).rpartition("/")[2]
    clock.now += 7 * DAY_S - 1
    assert await wrapped.follow(token) is not None
    clock.now += 1
    assert await wrapped.follow(token) is None


async def test_every_link_of_an_order_is_another_and_all_work(wrapped: TrackingLinks) -> None:
    tokens = {(await wrapped.make("1A-2B", "c1")).rpartition("/")[2] for _ in range(100)}
    assert len(tokens) == 100
    assert {await wrapped.follow(token) for token in tokens} == {
        "https://shop.example.com/track/1A-2B?from=mail"
    }


class NoLinks(FakeLinks):
    """A store that must not be asked."""

    async def find(self, token_hash: str) -> None:
        raise AssertionError(f"the store was asked for {token_hash}")


@pytest.mark.parametrize(
    "token", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "\n", "a" * 42 + "/", "ä" * 43, "../" * 14]
)
async def test_what_is_no_token_is_never_looked_for(token: str) -> None:
    links = TrackingLinks(NoLinks(CLOCK), CLOCK, TEMPLATE, "https://broker.example.com")
    assert await links.follow(token) is None


async def test_a_token_nobody_was_given_leads_nowhere(wrapped: TrackingLinks) -> None:
    assert await wrapped.follow("a" * 43) is None


@pytest.mark.parametrize(
    "track_id",
    [
        "../../admin",
        "..%2fadmin",
        "//evil.example",
        "@evil.example",
        "x@evil.example/",
        "https://evil.example/",
        "a?b=c#d",
        "a\r\nLocation: https://evil.example",
        "a\\..\\b",
        "{track_id}",
        "%00",
        "a b",
        "ä/ö",
        "...",
    ],
)
async def test_a_hostile_track_id_changes_only_its_own_segment(track_id: str) -> None:
    link = await direct().make(track_id, "c1")
    parts = urlsplit(link)
    assert link.isascii()
    assert link.isprintable()
    assert (parts.scheme, parts.netloc, parts.query) == ("https", "shop.example.com", "from=mail")
    *start, last = parts.path.split("/")
    assert start == ["", "track"]
    assert unquote(last) == track_id


@given(st.text(max_size=100))
@settings(max_examples=300)
async def test_any_track_id_leads_to_the_shop_or_is_refused(track_id: str) -> None:
    try:
        link = await direct().make(track_id, "c1")
    except PermanentError as error:
        refused = not track_id or track_id in {".", ".."} or not _encodes(track_id)
        assert refused, error  # noqa: PT017 - which of the two is right depends on the text
    else:
        assert urlsplit(link)[:2] == ("https", "shop.example.com")
        assert unquote(urlsplit(link).path) == f"/track/{track_id}"


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


@pytest.mark.parametrize("track_id", ["", ".", "..", "\ud800"])
async def test_a_track_id_that_would_lead_elsewhere_is_refused(track_id: str) -> None:
    with pytest.raises(PermanentError):
        await direct().make(track_id, "c1")


@pytest.mark.parametrize(
    "template", [None, "https://{track_id}/", "https://{track_id}.example.com/", "{track_id}://a/"]
)
async def test_a_template_without_a_fixed_host_makes_no_link(template: str | None) -> None:
    with pytest.raises(PermanentError):
        await direct(template).make("evil.example", "c1")


async def test_a_wrapped_link_needs_our_own_address() -> None:
    links = TrackingLinks(FakeLinks(CLOCK), CLOCK, TEMPLATE, None)
    with pytest.raises(PermanentError, match="public_url"):
        await links.make("1A-2B", "c1")


# The message

ADA = Customer(
    id="7",
    email="ada@example.com",
    premium=False,
    track_id="1A-2B",
    phones=("+493023125001",),
    name="Ada Lovelace",
    language="de",
    tags=("debtor",),
    extra={"iban": "DE00"},
)


def test_a_message_carries_the_link_and_the_name_and_nothing_else_personal() -> None:
    envelope = envelope_for(
        "c1|tracking", TRACKING, "ada@example.com", ADA, "https://b.example/t/x"
    )
    assert (envelope.reference, envelope.purpose) == ("c1|tracking", TRACKING)
    assert (envelope.to, envelope.language) == ("ada@example.com", "de")
    assert envelope.values == {
        "link": "https://b.example/t/x",
        "name": "Ada Lovelace",
        "track_id": "1A-2B",
    }


def test_a_value_the_crm_does_not_know_is_absent() -> None:
    nameless = Customer(id="7", email="ada@example.com", track_id="1A-2B")
    envelope = envelope_for(
        "c1|tracking", TRACKING, "a@b.example", nameless, "https://b.example/t/x"
    )
    assert envelope.values.keys() == {"link", "track_id"}
    assert envelope.language is None


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("Ada", "Ada"),
        (" Dr.  Ada\tLovelace ", "Dr. Ada Lovelace"),
        ("{{7*7}}", "{{7*7}}"),
        ("Ada\r\nBcc: x", "Ada Bcc: x"),
        ("Win at https://evil.example", None),
        ("WWW.evil.example", None),
        ("\x00\u2028", None),
    ],
)
def test_a_name_that_is_a_link_greets_nobody(name: str, greeted: str | None) -> None:
    customer = Customer(id="7", email="ada@example.com", track_id="1A-2B", name=name)
    envelope = envelope_for(
        "c1|tracking", TRACKING, "a@b.example", customer, "https://b.example/t/x"
    )
    assert envelope.values.get("name") == greeted
