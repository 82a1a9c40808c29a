"""Every link is the one its platform documents, for every handle, and never more than it takes."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.devices import Device
from broker.domain.errors import PermanentError
from broker.domain.link_targets import (
    CLOSED,
    KINDS,
    LABELS,
    LONGEST_URL,
    App,
    Apple,
    BrandMessenger,
    Chat,
    Community,
    Faq,
    Link,
    LinkTarget,
    Messenger,
    Rcs,
    Telegram,
    WhatsApp,
)

HANDLE = "abcDEF0123456789-_xyzABC"
BUSINESS = "22222222-dddd-4444-bbbb-777777777777"
APPLE = f"https://bcrw.apple.com/urn:biz:{BUSINESS}"
WORDS = {"en": "Hello, my code is {handle}", "de": "Größe 1/2 & {handle}?"}

EVERY_KIND: list[LinkTarget] = [
    Messenger(page="my.shop"),
    Messenger(page="my.shop", words=WORDS),
    Telegram(bot="shop_bot"),
    Apple(business_id=BUSINESS, words={"de": "Grüße, mein Code: {handle}!"}),
    Apple(business_id=BUSINESS, handle_in="group", intent="orders"),
    WhatsApp(number="+493023125000", words=WORDS),
    Rcs(agent="shop@rbm.goog", number="+493023125000", words=WORDS),
    Rcs(agent="shop@rbm.goog"),
    BrandMessenger(url="https://chat.shop.example/{handle}"),
    Community(url="https://forum.shop.example/"),
    Chat(url="https://shop.example/chat?context={handle}#start"),
    Faq(url="https://shop.example/faq"),
    Link(url="https://pay.example/{handle}"),
    App(url="shopapp://messages/{handle}", app_store="123456789", play_store="com.shop.app"),
]
handles = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@pytest.mark.parametrize(
    ("target", "link"),
    [
        (EVERY_KIND[0], f"https://m.me/my.shop?ref={HANDLE}"),
        (
            EVERY_KIND[1],
            f"https://m.me/my.shop?ref={HANDLE}&text=Hello%2C%20my%20code%20is%20{HANDLE}",
        ),
        (EVERY_KIND[2], f"https://t.me/shop_bot?start={HANDLE}"),
        (
            Apple(business_id=BUSINESS, group="back", words={"en": "Where is it?"}),
            f"{APPLE}?biz-intent-id={HANDLE}&biz-group-id=back&body=Where%20is%20it%3F",
        ),
        (EVERY_KIND[4], f"{APPLE}?biz-intent-id=orders&biz-group-id={HANDLE}"),
        (
            EVERY_KIND[5],
            f"https://wa.me/493023125000?text=Hello%2C%20my%20code%20is%20{HANDLE}",
        ),
        (
            Rcs(agent="shop@rbm.goog", number="+493023125000"),
            f"sms:+493023125000?service_id=shop%40rbm.goog&body=Hello%21%20My%20code%3A%20{HANDLE}",
        ),
        (
            EVERY_KIND[7],
            f"sms:shop%40rbm.goog?body=Hello%21%20My%20code%3A%20{HANDLE}",
        ),
        (
            WhatsApp(number="+493023125000", words={"en": WORDS["de"]}),
            f"https://wa.me/493023125000?text=Gr%C3%B6%C3%9Fe%201%2F2%20%26%20{HANDLE}%3F",
        ),
        (EVERY_KIND[8], f"https://chat.shop.example/{HANDLE}"),
        (EVERY_KIND[9], "https://forum.shop.example/"),
        (EVERY_KIND[10], f"https://shop.example/chat?context={HANDLE}#start"),
        (EVERY_KIND[11], "https://shop.example/faq"),
        (EVERY_KIND[12], f"https://pay.example/{HANDLE}"),
        (EVERY_KIND[13], f"shopapp://messages/{HANDLE}"),
    ],
    ids=lambda value: value.kind if isinstance(value, LinkTarget) else "",
)
def test_the_link_of_a_kind_is_the_one_its_platform_documents(
    target: LinkTarget, link: str
) -> None:
    assert target.link(HANDLE) == link


@given(st.sampled_from(EVERY_KIND), handles, st.sampled_from([None, "de-AT", "xx"]))
def test_every_handle_makes_a_short_ascii_link_to_the_same_place(
    target: LinkTarget, handle: str, language: str | None
) -> None:
    link = target.link(handle, language)
    assert re.fullmatch(r"[!-~]+", link)
    assert not set(link) & set("\"'<>`\\{}|^")
    assert len(link) <= LONGEST_URL
    other = urlsplit(target.link(HANDLE, language))
    assert urlsplit(link)[:2] == other[:2]


@given(handles)
def test_what_a_platform_hands_back_is_the_handle(handle: str) -> None:
    def value(target: LinkTarget, name: str) -> str:
        return parse_qs(urlsplit(target.link(handle)).query, strict_parsing=True)[name][0]

    assert value(EVERY_KIND[0], "ref") == handle
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value(EVERY_KIND[2], "start"))
    assert value(EVERY_KIND[2], "start") == handle
    assert value(EVERY_KIND[3], "biz-intent-id") == handle
    assert value(EVERY_KIND[4], "biz-group-id") == handle
    assert value(EVERY_KIND[5], "text").endswith(f" {handle}")
    assert value(EVERY_KIND[6], "body").endswith(f" {handle}")


@given(st.text(alphabet="aä ,.!?%&#[](){}/", min_size=1, max_size=8), handles)
def test_apple_never_gets_a_character_that_it_does_not_take(words: str, handle: str) -> None:
    target = Apple(business_id=BUSINESS, words={"en": words})
    if set(words.replace("{handle}", "")) & set("&#[](){}/"):
        with pytest.raises(PermanentError, match="Apple"):
            target.link(handle)
    else:
        query = unquote(urlsplit(target.link(handle)).query.partition("&body=")[2])
        assert query == words.replace("{handle}", handle)


@pytest.mark.parametrize("target", EVERY_KIND, ids=lambda target: target.kind)
@pytest.mark.parametrize("handle", ["", "a b", "a/../b", "a&b=c", "ä", "x" * 65, "a\n", "{handle}"])
def test_what_is_no_handle_gets_no_link(target: LinkTarget, handle: str) -> None:
    with pytest.raises(PermanentError):
        target.link(handle)


@pytest.mark.parametrize(
    "target",
    [
        WhatsApp(number="+493023125000", words={"en": "Hello"}),
        Rcs(agent="shop@rbm.goog", words={"en": "Hello"}),
    ],
)
def test_words_that_are_all_that_is_carried_must_have_the_handle(target: LinkTarget) -> None:
    with pytest.raises(PermanentError, match="nothing else carries it"):
        target.link(HANDLE)


def test_a_link_that_is_too_long_is_refused() -> None:
    fits = WhatsApp(number="+493023125000", words={"en": "{handle}" + "a" * 1900})
    assert len(fits.link("h")) < LONGEST_URL
    with pytest.raises(PermanentError, match="more than 2000"):
        WhatsApp(number="+493023125000", words={"en": "{handle}" + "ä" * 500}).link("h")


def test_every_kind_is_in_the_registry_with_its_label() -> None:
    assert {target.kind for target in EVERY_KIND} == set(KINDS) == set(LABELS)
    assert not set(CLOSED) & set(KINDS)
    assert CLOSED["google_business"] == date(2024, 7, 31)


def test_a_target_is_offered_on_its_first_and_its_last_day_and_not_beside_them() -> None:
    target = Telegram(bot="b_bot", valid_from=date(2026, 3, 1), valid_until=date(2026, 3, 31))
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1)]
    assert [target.offered(day) for day in days] == [False, True, True, False]
    assert Telegram(bot="b_bot").offered(date.max)


@pytest.mark.parametrize(
    ("target", "works_on"),
    [
        (EVERY_KIND[3], {Device.IOS, Device.MAC}),
        (EVERY_KIND[6], {Device.ANDROID}),
        (EVERY_KIND[13], {Device.IOS, Device.ANDROID}),
        (App(url="shopapp://m/{handle}", app_store="123456789"), {Device.IOS}),
        (App(url="https://shop.example/m/{handle}", app_store="123456789"), set(Device)),
        (EVERY_KIND[0], set(Device)),
    ],
)
def test_a_link_is_for_the_devices_that_can_open_it(
    target: LinkTarget, works_on: set[Device]
) -> None:
    assert {device for device in Device if target.suits(device)} == works_on


def test_who_lacks_the_app_is_sent_to_his_store_and_the_handle_survives_google_play() -> None:
    app = EVERY_KIND[13]
    assert app.store(HANDLE, Device.IOS) == ("App Store", "https://apps.apple.com/app/id123456789")
    assert app.store(HANDLE, Device.ANDROID) == (
        "Google Play",
        f"https://play.google.com/store/apps/details?id=com.shop.app&referrer={HANDLE}",
    )
    assert app.store(HANDLE, Device.OTHER) is None
    assert EVERY_KIND[0].store(HANDLE, Device.IOS) is None


def test_only_what_needs_a_tap_is_never_redirected_to() -> None:
    assert {kind for kind, target in KINDS.items() if target.only_tapped} == {"rcs", "app"}


def test_the_operators_label_goes_before_ours() -> None:
    assert Faq(url="https://shop.example/faq").label("de-CH") == "Häufige Fragen"
    assert Faq(url="https://shop.example/faq", labels={"en": "Help"}).label("de") == "Help"
