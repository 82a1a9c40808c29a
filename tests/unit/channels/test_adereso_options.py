"""What an operator may set for Adereso, and what it cannot express: refused before sending."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from broker.channels.adereso import AderesoChannel, AderesoOptions
from broker.domain.call import Phone
from broker.domain.errors import ConfigError, PermanentError
from broker.http_client import open_session
from broker.ports import Envelope, VendorTemplate
from broker.testing.loopback import LOOPBACK

OPTIONS: dict[str, Any] = {
    "api_token": "t0ken\n",
    "business_phone": "56976591992",
    "countries": ["CL"],
}
ENVELOPE = Envelope(
    "c1|deflection",
    "deflection",
    "+56976591991",
    "es",
    {},
    template=VendorTemplate("ivr_deflect"),
)


@pytest.mark.parametrize("template", [None, VendorTemplate("ivr_deflect", None, ("x",))])
async def test_what_adereso_cannot_express_is_said_before_sending(
    template: VendorTemplate | None,
) -> None:
    async with open_session(LOOPBACK) as http:
        channel = AderesoChannel(AderesoOptions.model_validate(OPTIONS), http)
        with pytest.raises(PermanentError, match="template"):
            await channel.send(replace(ENVELOPE, template=template), within=1.0)


async def test_parameters_are_told_at_the_start() -> None:
    async with open_session(LOOPBACK) as http:
        channel = AderesoChannel(AderesoOptions.model_validate(OPTIONS), http)
        told = await channel.check([VendorTemplate("one"), VendorTemplate("two", "es", ("x",))])
    assert told == ["adereso: the template two can be given no parameters"]


@pytest.mark.parametrize(
    "change",
    [
        {"business_phone": "976591992"},
        {"business_phone": "not a number"},
        {"business_phone": ""},
        {"countries": []},
        {"team_id": 0},
        {"api_token": None},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AderesoOptions.model_validate({**OPTIONS, **change})


def test_the_number_may_have_a_plus() -> None:
    options = AderesoOptions.model_validate({**OPTIONS, "business_phone": "+56 9 7659 1992"})
    assert options.business_phone == "56976591992"


async def test_an_empty_token_stops_the_start() -> None:
    options = AderesoOptions.model_validate({**OPTIONS, "api_token": " \n"})
    async with open_session(LOOPBACK) as http:
        with pytest.raises(ConfigError):
            AderesoChannel(options, http)


async def test_people_may_have_whatsapp_on_a_fixed_line() -> None:
    options = AderesoOptions.model_validate({**OPTIONS, "countries": ["DE"]})
    async with open_session(LOOPBACK) as http:
        channel = AderesoChannel(options, http)
    berlin, santiago = Phone.read("+493023125001"), Phone.read("+56976591991")
    assert channel.recipients is not None
    assert berlin is not None
    assert santiago is not None
    assert channel.recipients.refusal(berlin) is None
    assert channel.recipients.refusal(santiago) == "country"
