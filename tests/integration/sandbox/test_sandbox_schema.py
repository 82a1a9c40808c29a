"""The sandbox's answers, judged by the vendor's own API description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from broker.sandbox.platform_more import METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.sandbox.conftest import Client


class Vendor:
    """The vendor's description, able to say what is wrong with an answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def faults(self, method: str, path: str, status: int, body: object) -> list[str]:
        operation = self._document["paths"][path][method.lower()]
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        # An OpenAPI 3.0 schema is a draft 4 schema; `nullable` concerns no field that we send.
        whole = {**schema, "components": self._document["components"]}
        checker = jsonschema.FormatChecker()
        validator = jsonschema.Draft4Validator(whole, format_checker=checker)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


@pytest.fixture(scope="session")
def vendor(specs: Path) -> Vendor:
    document = yaml.safe_load((specs / "babelforce-subset.openapi.yaml").read_text())
    return Vendor(document)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v2/calls/{id}", None),
        ("GET", "/api/v2/calls/reporting", None),
        ("PUT", "/api/v2/calls/{id}/session/set", {"variables": {"app.a": 1}}),
        ("POST", "/api/v2/calls/{id}/hangup", None),
        ("POST", "/api/v2/sessions", None),
        ("GET", "/api/v2/sessions/{session_id}", None),
        ("PUT", "/api/v2/sessions/{session_id}", {"ivr.premium": True}),
        ("POST", "/api/v2/sms", {"to": "+491713920001", "text": "Hello"}),
        ("GET", "/api/v2/sms/{sms_id}", None),
        *(("GET", "/api/v2/metrics/" + name, None) for name in METRICS),
        ("GET", "/api/v2/business-hours", None),
        ("POST", "/api/v2/agents/push", {"agentId": "a1", "message": "Ada", "data": {"k": True}}),
        ("POST", "/api/v2/conversations/{conversation_id}/events", {"name": "n", "data": {}}),
        ("GET", "/api/v2/conversations/{conversation_id}/events", None),
        ("GET", "/api/v2/ping", None),
    ],
)
@pytest.mark.parametrize("caller", [{"persona": "premium"}, {"anonymous": True}])
async def test_an_answer_is_what_the_vendor_describes(
    client: Client, vendor: Vendor, method: str, path: str, body: object, caller: dict[str, Any]
) -> None:
    call = await client.call(**caller)
    _, sms = await client.platform("POST", "/sms", {"to": "+491713920001", "text": "Hello"})
    ids = {
        "id": call["call_id"],
        "session_id": call["session_id"],
        "conversation_id": call["conversation_id"],
        "sms_id": sms["item"]["id"],
    }
    await client.platform("POST", f"/conversations/{ids['conversation_id']}/events", {"name": "e"})
    status, answer = await client.platform(method, path.format(**ids).removeprefix("/api/v2"), body)
    assert status == 200
    assert vendor.faults(method, described(path), status, answer) == []


async def test_a_finished_call_is_what_the_vendor_describes(client: Client, vendor: Vendor) -> None:
    call = await client.call(persona="premium")
    await client.control("POST", f"/calls/{call['call_id']}/hangup")
    _, answer = await client.platform("GET", f"/calls/{call['call_id']}")
    assert vendor.faults("GET", "/api/v2/calls/{id}", 200, answer) == []


@pytest.mark.parametrize("form", ["flat", "nested"])
async def test_session_variables_are_what_the_vendor_describes(
    client: Client, vendor: Vendor, form: str
) -> None:
    call = await client.call(persona="premium")
    path = f"/sessions/{call['session_id']}"
    await client.faults(platform={"session_data": form})
    _, answer = await client.platform("PUT", path, {"ivr.route": "premium", "ivr.premium": True})
    assert vendor.faults("PUT", "/api/v2/sessions/{id}", 200, answer) == []


@pytest.mark.parametrize(("password", "status"), [("sandbox-password", 200), ("wrong", 400)])
async def test_a_token_answer_is_what_the_vendor_describes(
    client: Client, vendor: Vendor, password: str, status: int
) -> None:
    form = {
        "grant_type": "password",
        "client_id": "manager",
        "username": "manager@example.com",
        "password": password,
    }
    answered, body = await client.send("POST", "/oauth/token", data=form)
    assert answered == status
    assert vendor.faults("POST", "/oauth/token", status, body) == []


async def test_an_unknown_session_is_what_the_vendors_clients_expect(
    client: Client, vendor: Vendor
) -> None:
    status, body = await client.platform("GET", f"/sessions/{'0' * 32}")
    assert vendor.faults("GET", "/api/v2/sessions/{id}", status, body) == []


def described(path: str) -> str:
    """The path as the vendor's description spells it."""
    if path.startswith("/api/v2/metrics/"):
        return "/api/v2/metrics/{id}"
    path = path.replace("{conversation_id}", "{conversationId}")
    return path.replace("{session_id}", "{id}").replace("{sms_id}", "{id}")
