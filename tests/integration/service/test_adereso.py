"""Requests in Adereso's shape: an IVR that is set up for it needs another address, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, kept, outbox

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

PATH = "/v1/compat/adereso"
OURS, HIS = "4915735980000", "4915112345679"
KEY = "an-adereso-api-token"
WORDS = {"texts": {"es": "Hola {link}", "de": "Hallo {link}"}}


def taking(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    templates = {"ivr_deflect": WORDS, "other": {"texts": {"de": "Anders {link}"}}}
    made = deflecting(sandbox, tmp_path, templates=templates, languages={"+49": "de"})
    senders = {OURS: {"channel": "sms", "template": "ivr_deflect"}}
    return made | {
        "compat": {"adereso": {"senders": senders, "metadata_keys": ["ticket.topic"]}},
        "server": {"clients": {"ivr": {"key": KEY, "scopes": ["deflect"]}}},
        "inbound": {"fields": {"branch": "metadata.ticket.topic"}},
    }


async def asks(service: Service, key: str = KEY, **more: Any) -> tuple[int, dict[str, Any]]:
    body = {"business_phone": OURS, "recipient_phone": HIS, **more}
    headers = {"Authorization": f"Key {key}"}
    return await service.post(f"{PATH}?wait_ms=5000", body, headers=headers)


async def test_the_seeds_request_sends_one_message_however_often_it_comes(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    metadata = {"user": {"plan": "gold"}, "ticket": {"topic": "invoice"}}
    async with served(sandbox, **taking(sandbox, tmp_path)) as service:
        for _ in range(2):
            status, answer = await asks(service, metadata=metadata, team_id=1234)
            assert (status, answer["success"]) == (200, True)
            assert answer["warnings"] == ["metadata.user.plan is not configured"]
        (message,) = await outbox(service, f"+{HIS}")
        assert message["text"].startswith("Hallo http"), "in the language of the business number"
        record = await service.broker.parts.ledger.find(answer["deflection_id"])
        assert record is not None
        assert record.messages[0].context == {"ticket.topic": "invoice", "team_id": "1234"}


async def test_a_named_template_goes_before_the_senders(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **taking(sandbox, tmp_path)) as service:
        assert (await asks(service, template_name="other"))[0] == 200
        (message,) = await outbox(service, f"+{HIS}")
        assert message["text"].startswith("Anders")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"business_phone": "56976591992"}, 422, "sender_not_allowed"),
        ({"template_name": "unheard"}, 422, "unknown_template"),
        ({"recipient_phone": "4989"}, 422, "no_recipient"),
        ({"recipient_phone": None}, 400, "missing_field"),
        ({"business_phone": ""}, 400, "missing_field"),
        ({"key": "another-adereso-token"}, 401, "unauthorized"),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_nothing_goes_out(
    sandbox: Sandbox, tmp_path: Path, changed: dict[str, Any], status: int, code: str
) -> None:
    async with served(sandbox, **taking(sandbox, tmp_path)) as service:
        told, answer = await asks(service, **changed)
        assert (told, answer["code"]) == (status, code)
        assert await kept(service) == [], "so that nothing goes out later either"


async def test_without_senders_nobody_may_send(sandbox: Sandbox, tmp_path: Path) -> None:
    changed = taking(sandbox, tmp_path) | {"compat": {}}
    async with served(sandbox, **changed) as service:
        assert (await asks(service))[1]["code"] == "sender_not_allowed"


async def test_a_broker_with_the_adereso_channel_may_ask_another_one(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The channel's request is the one that this door takes: the same body both ways."""
    async with served(sandbox, **taking(sandbox, tmp_path)) as other:
        wa = {
            "driver": "adereso",
            "api_token": KEY,
            "business_phone": OURS,
            "base_url": other.url + PATH,
            "countries": ["DE"],
        }
        approved = {"wa": {"name": "other"}}
        templates = {"asking": {"texts": {"de": "x {link}"}, "approved": approved}}
        asking = deflecting(sandbox, tmp_path, channels=["wa"], templates=templates)
        asking["channels"] = {"wa": wa}
        async with served(sandbox, **asking) as service:
            wish = {"to": f"+{HIS}", "template": "asking", "context": {"ticket": {"topic": "bill"}}}
            path = "/v1/deflections?wait_ms=5000"
            status, answer = await service.post(path, wish)
            assert (status, answer["state"]) == (200, "sent")
        (message,) = await outbox(other, f"+{HIS}")
        assert message["text"].startswith("Anders")
