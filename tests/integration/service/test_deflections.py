"""Moving a caller to a channel: choice, deflect and without a call, against the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.stores.people import RedisConsents
from tests.integration.service.conftest import served
from tests.integration.service.test_sms import MOBILE, calls, changes, twilio

if TYPE_CHECKING:
    from pathlib import Path

    from broker.domain.consents import Consent
    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

LANDLINE = "+49891234567"
STRANGER = "+4915112345679"


def deflecting(sandbox: Sandbox, tmp_path: Path, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = changes(tmp_path, twilio(sandbox))
    made["tracking"] = {"email": {"when": "never"}}
    branches = {"billing": {"keys": {"5": "deflect:email"}, "context": {"team": "billing"}}}
    return made | {
        "deflection": {
            "channels": ["sms", "email"],
            "keys": {"1": "deflect", "2": "stay"},
            "branches": branches,
            **more,
        }
    }


async def said(service: Service, path: str, body: Any) -> dict[str, Any]:
    """The answer to a request that is taken."""
    status, answer = await service.post(path, body)
    assert status in {200, 202}, answer
    return answer


async def refused_with(service: Service, path: str, body: Any) -> dict[str, Any]:
    status, answer = await service.post(path, body)
    assert status == 422
    return answer


async def told(service: Service, path: str) -> dict[str, Any]:
    _, answer = await service.get(path)
    return answer


async def outbox(service: Service, to: str) -> list[dict[str, Any]]:
    url = f"{service.sandbox.base_url}/_sandbox/outbox"
    async with service.http.get(url, params={"to": to}) as response:
        found: list[dict[str, Any]] = (await response.json())["messages"]
    return found


async def agreed(service: Service) -> list[Consent]:
    """Every consent in the store."""
    return [one async for one in RedisConsents(service.broker.parts.store).export()]


async def kept(service: Service) -> list[bytes]:
    """Every record in the store."""
    store = service.broker.parts.store
    return [key async for key in store.client.scan_iter(store.key("call", "*"))]


async def shown(service: Service, call_id: str, name: str, value: Any) -> None:
    """The session of the call gets to show it."""
    url = f"{service.sandbox.base_url}/_sandbox/calls/{call_id}"
    async with asyncio.timeout(20):
        while True:
            async with service.http.get(url) as response:
                if (await response.json())["variables"].get(name) == value:
                    return
            await asyncio.sleep(0.02)


async def test_a_caller_who_presses_the_key_gets_one_sms_and_the_session_says_so(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        call_id = await calls(service, MOBILE)
        for _ in range(2):
            answer = await said(service, f"/v1/calls/{call_id}/choice?wait_ms=5000", {"key": "1"})
            assert (answer["choice"], answer["state"]) == ("deflect", "sent")
        (message,) = await outbox(service, MOBILE)
        assert "/d/" in message["text"]
        assert "Mit STOP" in message["text"], "in his language"
        await shown(service, call_id, "ivr.choice", "deflect")
        await shown(service, call_id, "ivr.deflection", "sent")
        shows = await told(service, f"/v1/deflections/{answer['deflection_id']}")
        assert shows["call_id"] == call_id
        assert (shows["channel"], shows["state"], shows["attempts"]) == ("sms", "sent", 1)


async def test_keys_are_bound_per_branch_and_invalid_ones_are_counted(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        call_id = await calls(service, MOBILE)
        path = f"/v1/calls/{call_id}/choice"
        for key, choice in (("9", "invalid"), ("9" * 20, "invalid"), ("#", "queue")):
            assert (await said(service, path, {"key": key}))["choice"] == choice
        assert (await said(service, path, {"key": "2"}))["choice"] == "stay"
        assert (await said(service, path, {"key": "1", "branch": "billing"}))["choice"] == "queue"
        assert await outbox(service, MOBILE) == []
        billing = {"key": "5", "branch": "billing"}
        answer = await said(service, f"{path}?wait_ms=5000", billing)
        assert (answer["choice"], answer["state"]) == ("deflect", "sent")
        (mail,) = await outbox(service, "seven@example.com")
        assert mail["subject"] == "Ihr Anruf"


async def test_who_cannot_receive_is_told_by_value_and_may_name_a_number(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = deflecting(sandbox, tmp_path, channels=["sms"])
    async with served(sandbox, **changed) as service:
        call_id = await calls(service, LANDLINE)
        answer = await said(service, f"/v1/calls/{call_id}/choice", {"key": "1"})
        assert (answer["choice"], answer["deflection_id"]) == ("no_recipient", None)
        path = f"/v1/calls/{call_id}/deflect"
        refused = await refused_with(service, path, {})
        assert refused["code"] == "no_recipient"
        sent = await said(service, f"{path}?wait_ms=5000", {"to": "0151 12345679"})
        assert sent["state"] == "sent"
        assert len(await outbox(service, STRANGER)) == 1


async def test_a_channel_that_refuses_makes_way_for_the_next(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        faults = f"{sandbox.base_url}/_sandbox/faults"
        async with service.http.put(faults, json={"twilio": {"status": 404}}) as taken:
            assert taken.status == 200
        call_id = await calls(service, MOBILE)
        answer = await said(service, f"/v1/calls/{call_id}/deflect?wait_ms=5000", {})
        assert (answer["channel"], answer["state"]) == ("email", "sent")
        assert len(await outbox(service, "seven@example.com")) == 1


async def test_without_a_call_the_same_wish_is_one_message(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        wish = {"to": STRANGER, "context": {"user": {"plan": "gold"}, "order": 12}}
        first, again = [await said(service, "/v1/deflections?wait_ms=5000", wish) for _ in range(2)]
        assert first == again
        assert (first["call_id"], first["state"]) == (None, "sent")
        assert len(await outbox(service, STRANGER)) == 1
        other = await said(service, "/v1/deflections", {**wish, "context": {"order": 13}})
        assert other["deflection_id"] != first["deflection_id"]
        assert (await told(service, "/v1/calls"))["calls"] == [], "it is no call"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"channel": "fax"}, "unknown_channel"),
        ({"template": "none"}, "unknown_template"),
        ({"to": "not a number"}, "no_recipient"),
        ({"to": "+498005551234"}, "no_recipient"),
    ],
)
async def test_what_can_never_be_sent_is_refused_before_anything_is_kept(
    sandbox: Sandbox, tmp_path: Path, wish: dict[str, Any], code: str
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path, channels=["sms"])) as service:
        refused = await refused_with(service, "/v1/deflections", {"to": STRANGER, **wish})
        assert refused["code"] == code
        assert await kept(service) == []


async def test_the_consent_is_kept_with_the_message_and_the_next_call_knows(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = deflecting(sandbox, tmp_path, prompt_version="2026-11")
    async with served(sandbox, **changed) as service:
        first = await calls(service, MOBILE)
        await shown(service, first, "ivr.deflected_before", value=None)
        await said(service, f"/v1/calls/{first}/choice?wait_ms=5000", {"key": "1"})
        consents = await agreed(service)
        assert [(one.number, one.call_id, one.key, one.prompt_version) for one in consents] == [
            (MOBILE, first, "1", "2026-11")
        ]
        second = await calls(service, MOBILE)
        await shown(service, second, "ivr.deflected_before", value=True)
        assert await agreed(service) == consents
