"""A caller who gave up: written to by an earlier consent, over HTTP and from the own menu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, outbox, said
from tests.integration.service.test_sms import MOBILE, calls, ended
from tests.integration.service.test_twilio_voice import Caller, talking

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox.server import Sandbox

ABOUT = {"dispositions": ["abandoned", "no-answer"], "template": "missed"}
WORDS = {"missed": {"texts": {"de": "Schade: {link}", "en": "Sorry: {link}"}}}


def following_up(made: dict[str, Any]) -> dict[str, Any]:
    more = {"abandoned": ABOUT, "templates": WORDS}
    return made | {"deflection": made["deflection"] | more}


async def test_a_call_that_nobody_took_is_followed_up_once_by_an_earlier_consent(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **following_up(deflecting(sandbox, tmp_path))) as service:
        stranger = await calls(service, MOBILE)
        assert await said(service, f"/v1/calls/{stranger}/end", {"disposition": "no-answer"})
        assert not await outbox(service, MOBILE), "he has never agreed"
        first = await calls(service, MOBILE)
        await said(service, f"/v1/calls/{first}/choice?wait_ms=5000", {"key": "1"})
        assert (await ended(service, first))["outcome"] == "messaged"
        second = await calls(service, MOBILE)
        for _ in range(2):
            await said(service, f"/v1/calls/{second}/end", {"disposition": "no-answer"})
        shown = await ended(service, second)
        assert [(m["purpose"], m["state"]) for m in shown["messages"]] == [("abandoned", "sent")]
        texts = [message["text"] for message in await outbox(service, MOBILE)]
        assert [text.startswith("Schade: ") for text in texts].count(True) == 1
        assert len(texts) == 2


async def test_after_the_end_nothing_is_decided_any_more(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **following_up(deflecting(sandbox, tmp_path))) as service:
        agreed = await calls(service, MOBILE)
        await said(service, f"/v1/calls/{agreed}/choice?wait_ms=5000", {"key": "1"})
        await ended(service, agreed)
        call_id = await calls(service, MOBILE)
        await said(service, f"/v1/calls/{call_id}/end", {})
        _, late = await service.post(f"/v1/calls/{call_id}/end", {"disposition": "abandoned"})
        assert late["state"] == "informed", "it had ended before"
        status, refused = await service.post(f"/v1/calls/{call_id}/tracking-email", {})
        assert (status, refused["code"]) == (409, "switched_off")
        assert (await ended(service, call_id))["messages"] == []


async def test_who_hangs_up_in_the_menu_has_given_up(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **following_up(talking(sandbox, tmp_path))) as service:
        first = Caller(service)
        await first.rings()
        await first.presses("1")
        await first.tells(CallStatus="completed")
        second = Caller(service)
        await second.rings()
        await second.presses("2")
        await second.tells(CallStatus="completed")
        shown = await ended(service, second.call_id)
        assert [m["purpose"] for m in shown["messages"]] == ["abandoned"]
        third = Caller(service)
        await third.rings()
        await third.presses("2")
        leg = {"CallSid": "CA" + "3" * 32, "ParentCallSid": third.call_id}
        await third.tells(**leg, CallStatus="in-progress")
        await third.tells(CallStatus="completed")
        assert (await ended(service, third.call_id))["messages"] == [], "he talked to somebody"
