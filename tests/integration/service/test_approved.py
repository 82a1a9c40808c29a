"""Approved messages that a provider would refuse are told before the first one is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.check import check
from broker.parts import open_parts, refuse_unfit
from broker.sandbox.credentials import (
    WHATSAPP_ACCOUNT,
    WHATSAPP_APP_SECRET,
    WHATSAPP_NUMBER,
    WHATSAPP_TOKEN,
    WHATSAPP_VERIFY_TOKEN,
)
from broker.settings import from_mapping
from tests.integration.service.conftest import tables

if TYPE_CHECKING:
    from broker.sandbox.server import Sandbox
    from broker.settings import Settings

PART = "templates chat"


def configured(sandbox: Sandbox, approved: dict[str, Any] | None, **channel: Any) -> Settings:
    """A broker whose only template has this approved message on WhatsApp, or none."""
    chat = {
        "driver": "whatsapp",
        "base_url": f"{sandbox.base_url}/whatsapp",
        "phone_number_id": WHATSAPP_NUMBER,
        "waba_id": WHATSAPP_ACCOUNT,
        "access_token": WHATSAPP_TOKEN,
        "app_secret": WHATSAPP_APP_SECRET,
        "verify_token": WHATSAPP_VERIFY_TOKEN,
        "countries": ["DE"],
        **channel,
    }
    template: dict[str, Any] = {"texts": {"en": "Go on here: {link}"}}
    if approved is not None:
        template["approved"] = {"chat": approved}
    deflection = {"channels": ["chat"], "templates": {"deflection": template}}
    return from_mapping(tables(sandbox, channels={"chat": chat}, deflection=deflection), {})


async def told(settings: Settings) -> tuple[list[str], bool, str]:
    """The warnings of a start; whether `broker check` is content, and what it says."""
    async with open_parts(settings) as parts:
        warnings = list(await refuse_unfit(parts))
    finding = {one.part: one for one in await check(settings, live=False)}[PART]
    return warnings, finding.works, finding.advice


async def test_what_the_provider_knows_is_no_news(sandbox: Sandbox) -> None:
    approved = {"name": "ivr_deflect", "languages": {"de": "de"}, "parameters": ["link"]}
    warnings, works, advice = await told(configured(sandbox, approved))
    assert (warnings, works) == ([], True)
    assert "1 approved" in advice


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "ivr_unknown"}, "unknown"),
        ({"languages": {"de": "de", "fr": "fr"}}, "not in fr"),
        ({"parameters": []}, "gets 0"),
    ],
)
async def test_what_would_fail_at_night_is_told_and_stops_no_calls(
    sandbox: Sandbox, change: dict[str, Any], said: str
) -> None:
    approved = {"name": "ivr_deflect", "languages": {"de": "de"}, "parameters": ["link"]}
    (warning,), works, advice = await told(configured(sandbox, {**approved, **change}))
    assert warning.startswith("channel.chat: whatsapp: the template ivr_")
    assert said in warning
    assert not works
    assert said in advice


async def test_a_channel_without_any_approved_message_is_told(sandbox: Sandbox) -> None:
    (warning,), works, _ = await told(configured(sandbox, None))
    assert "no deflection template names one" in warning
    assert not works


async def test_an_account_that_cannot_be_asked_is_told_as_well(sandbox: Sandbox) -> None:
    approved = {"name": "ivr_deflect", "languages": {"de": "de"}, "parameters": ["link"]}
    (warning,), works, _ = await told(configured(sandbox, approved, access_token="wrong"))
    assert "check phone_number_id, waba_id" in warning
    assert not works


async def test_a_provider_that_is_away_stops_nothing_and_is_told_by_check(sandbox: Sandbox) -> None:
    approved = {"name": "ivr_deflect", "languages": {"de": "de"}, "parameters": ["link"]}
    nowhere = "http://127.0.0.1:1"
    warnings, works, _ = await told(configured(sandbox, approved, base_url=nowhere))
    assert (warnings, works) == ([], False)
