"""Without `[twilio_voice]` nobody gets in, whatever he sends."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from broker.domain.errors import BadInputError
from broker.web.twilio import TwilioRoutes


@pytest.mark.parametrize("name", ["voice", "gather", "status"])
async def test_without_a_menu_its_routes_are_shut(name: str) -> None:
    handler = getattr(TwilioRoutes(None, 65_536), name)
    with pytest.raises(BadInputError) as refused:
        await handler(make_mocked_request("POST", f"/v1/twilio/{name}"))
    assert refused.value.code == "voice_off"
