"""A deflection link opens what works on the device in hand, and is never used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.devices import Device
from broker.domain.link_targets import (
    App,
    Apple,
    Faq,
    LinkTarget,
    Messenger,
    Rcs,
    Telegram,
    WhatsApp,
)
from broker.metrics import Metrics
from broker.testing.fake_clock import SetClock
from broker.usecases.landing import Landed, Landing, Opened

HANDLE = "abcDEF0123456789-_xyzABC"
TODAY = datetime.fromtimestamp(SetClock().time(), UTC).date()
TARGETS: dict[str, LinkTarget] = {
    "telegram": Telegram(bot="shop_bot"),
    "messenger": Messenger(page="my.shop"),
    "whatsapp": WhatsApp(number="+493023125000"),
    "apple": Apple(business_id="22222222-dddd-4444-bbbb-777777777777"),
    "rcs": Rcs(agent="shop@rbm.goog", number="+493023125000"),
    "app": App(url="shopapp://m/{handle}", app_store="123456789", play_store="com.example.shop"),
    "faq": Faq(url="https://shop.example/faq"),
    "over": Telegram(bot="old_bot", valid_until=TODAY - timedelta(days=1)),
    "last_day": Telegram(bot="last_bot", valid_until=TODAY),
    "to_come": Telegram(bot="new_bot", valid_from=TODAY + timedelta(days=1)),
}


async def opened(
    *names: str,
    device: Device = Device.OTHER,
    language: str | None = None,
    browser: str | None = None,
    expires_in: float = 60.0,
) -> Opened | None:
    """What opens of a message that offers the targets of these names."""
    clock = SetClock()

    async def find(token: str) -> Landed | None:
        known = Landed(HANDLE, names, clock.time() + expires_in, language)
        return known if token == HANDLE else None

    landing = Landing(find, TARGETS, clock, Metrics())
    first = await landing.open(HANDLE, device, browser)
    assert await landing.open(HANDLE, device, browser) == first, "a second look sees the same"
    assert await landing.open("A" * 24, device, browser) is None
    return first


async def shown(*names: str, device: Device) -> list[str]:
    page = await opened(*names, device=device)
    assert page is not None
    return [choice.label for choice in page.choices]


async def test_one_target_is_redirected_to() -> None:
    page = await opened("telegram")
    assert page is not None
    assert page.redirect == f"https://t.me/shop_bot?start={HANDLE}"


async def test_several_targets_are_buttons_in_the_order_of_the_message() -> None:
    page = await opened("whatsapp", "telegram", "faq")
    assert page is not None
    assert page.redirect is None
    assert [choice.label for choice in page.choices] == ["WhatsApp", "Telegram", "FAQ"]
    assert page.choices[1].link == f"https://t.me/shop_bot?start={HANDLE}"


@pytest.mark.parametrize("expires_in", [0.0, -1.0])
async def test_an_expired_link_opens_nothing(expires_in: float) -> None:
    assert await opened("telegram", expires_in=expires_in) is None
    assert await opened("telegram", expires_in=0.001) is not None


@pytest.mark.parametrize(
    ("device", "labels"),
    [
        (Device.IOS, ["Apple Messages", "WhatsApp", "Open the app"]),
        (Device.ANDROID, ["WhatsApp", "Messages", "Open the app"]),
        (Device.MAC, ["WhatsApp", "Apple Messages"]),
        (Device.OTHER, ["WhatsApp"]),
    ],
)
async def test_each_device_gets_what_works_on_it_its_own_first(
    device: Device, labels: list[str]
) -> None:
    assert await shown("whatsapp", "rcs", "apple", "app", device=device) == labels


async def test_what_works_nowhere_here_is_shown_all_the_same_but_not_redirected_to() -> None:
    page = await opened("apple", device=Device.ANDROID)
    assert page is not None
    assert page.redirect is None
    assert len(page.choices) == 1


@pytest.mark.parametrize(("name", "device"), [("rcs", Device.ANDROID), ("app", Device.IOS)])
async def test_what_needs_a_tap_is_a_button_also_when_it_is_alone(
    name: str, device: Device
) -> None:
    page = await opened(name, device=device)
    assert page is not None
    assert page.redirect is None
    assert len(page.choices) == 1


async def test_the_only_one_that_works_here_is_redirected_to() -> None:
    page = await opened("apple", "rcs", "telegram", device=Device.OTHER)
    assert page is not None
    assert page.redirect == f"https://t.me/shop_bot?start={HANDLE}"


async def test_who_may_lack_the_app_finds_the_store_of_his_device() -> None:
    for device, name in ((Device.IOS, "App Store"), (Device.ANDROID, "Google Play")):
        page = await opened("app", "faq", device=device)
        assert page is not None
        app, faq = page.choices
        assert app.store is not None
        assert app.store[0] == name
        assert faq.store is None


async def test_a_target_outside_of_its_dates_is_not_offered() -> None:
    page = await opened("over", "to_come", "last_day")
    assert page is not None
    assert page.redirect == f"https://t.me/last_bot?start={HANDLE}"


@pytest.mark.parametrize("names", [(), ("over",), ("not_configured_any_more",)])
async def test_a_message_that_leads_nowhere_can_still_be_answered(names: tuple[str, ...]) -> None:
    assert await opened(*names) == Opened((), None, None)


async def test_the_persons_language_goes_before_the_browsers() -> None:
    page = await opened("faq", "whatsapp", language="de-AT", browser="es")
    assert page is not None
    assert (page.language, page.choices[0].label) == ("de-AT", "Häufige Fragen")
    assert "Hallo" in page.choices[1].link
    page = await opened("faq", "whatsapp", browser="es")
    assert page is not None
    assert (page.language, page.choices[0].label) == ("es", "Preguntas frecuentes")
