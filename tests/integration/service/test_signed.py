"""Clients that sign, replays, and secrets that change while calls come in."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from standardwebhooks import Webhook

from broker.cli.serve import change_secrets
from broker.domain.errors import ConfigError
from broker.settings import from_mapping
from tests.integration.service.conftest import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service

OLD, NEW = ("whsec_" + base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2))
KEY = "ivr-key-of-sixteen"
SIGNER = {"clients": {"ivr": {"hmac_secret": OLD}}}
BOTH = {"clients": {"ivr": {"hmac_secret": OLD, "key": KEY}}}


def signed(body: bytes, secret: str = OLD, *, age_s: float = 0, name: str = "") -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    name = name or f"msg_{uuid4().hex}"
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, body.decode()),
        "Content-Type": "application/json",
    }


def call_start() -> bytes:
    return orjson.dumps({"call_id": uuid4().hex, "from": "+493023125001"})


async def start(
    service: Service, body: bytes, headers: dict[str, str], path: str = "/v1/calls"
) -> tuple[int, Any]:
    status, answer = await service.post(path, data=body, headers=headers)
    return status, answer.get("code")


async def test_signed_request_is_taken_and_any_other_refused(serve: Callable[..., Any]) -> None:
    async with serve(server=SIGNER) as service:
        body = call_start()
        assert await start(service, body, signed(body)) == (202, None)
        wrong = await start(service, body, signed(body, NEW))
        assert wrong == (403, "signature")
        assert await start(service, body + b" ", signed(body)) == (403, "signature")
        assert await start(service, body, signed(body, age_s=302)) == (403, "signature")
        assert await start(service, body, {}) == (401, "unauthorized")
        empty = signed(b"")
        assert (await service.get("/v1/calls", headers=empty))[0] == 200


async def test_replay_is_answered_like_a_repeat_and_refused_elsewhere(
    serve: Callable[..., Any],
) -> None:
    async with serve(server=SIGNER) as service:
        body = call_start()
        headers = signed(body)
        for _ in range(3):
            assert await start(service, body, headers) == (202, None)
        call_id = orjson.loads(body)["call_id"]
        elsewhere = f"/v1/calls/{call_id}/end"
        assert await start(service, body, headers, elsewhere) == (403, "signature")
        shown = (await service.get(f"/v1/calls/{call_id}", headers=signed(b"")))[1]
        assert [step["name"] for step in shown["steps"]] == ["number"]
        again = signed(b"{}", name=headers["webhook-id"])
        assert await start(service, b"{}", again) == (403, "signature")


async def test_client_with_key_and_secret_needs_both(serve: Callable[..., Any]) -> None:
    async with serve(server=BOTH) as service:
        body, key = call_start(), {"X-Api-Key": KEY}
        assert await start(service, body, signed(body)) == (401, "unauthorized")
        assert await start(service, body, key) == (403, "signature")
        assert await start(service, body, {**signed(body), **key}) == (202, None)


async def test_large_or_encoded_body_is_refused_before_its_signature_is_checked(
    serve: Callable[..., Any],
) -> None:
    async with serve(server=SIGNER) as service:
        body = b'"' + b"x" * 70_000 + b'"'
        assert await start(service, body, signed(body)) == (413, "too_large")
        encoded = {**signed(b"{}"), "Content-Encoding": "gzip"}
        assert await start(service, b"{}", encoded) == (415, "encoding")


async def test_keys_change_under_load_without_a_refusal(serve: Callable[..., Any]) -> None:
    old, new = "old-key-of-sixteen-x", "new-key-of-sixteen-x"

    def again(key: str) -> Callable[[], Any]:
        clients = {"ivr": {"key": key}}
        return lambda: from_mapping(tables(service.sandbox, server={"clients": clients}), {})

    async with serve(server={"clients": {"ivr": {"key": old}}}) as service:
        statuses: list[int] = []
        sent, over = old, False

        async def calls() -> None:
            while not over:
                body = {"call_id": uuid4().hex}
                status, _ = await service.post("/v1/calls", body, headers={"X-Api-Key": sent})
                statuses.append(status)

        async def two_more() -> None:
            """The second was sent after this was called."""
            enough = len(statuses) + 2
            while len(statuses) < enough:
                await asyncio.sleep(0)

        load = asyncio.create_task(calls())
        await two_more()
        change_secrets(service.broker, again(f"{new}\n{old}"))
        await two_more()
        sent = new
        await two_more()
        change_secrets(service.broker, again(new))
        await two_more()
        over = True
        await load
        assert set(statuses) == {202}
        status, _ = await service.post("/v1/calls", {}, headers={"X-Api-Key": old})
        assert status == 401


async def test_faulty_configuration_leaves_the_secrets_as_they_were(
    serve: Callable[..., Any],
) -> None:
    def faulty() -> Any:
        raise ConfigError("server.clients.ivr.key: is missing")

    async with serve(server={"clients": {"ivr": {"key": KEY}}}) as service:
        change_secrets(service.broker, faulty)
        nobody = lambda: from_mapping(tables(service.sandbox, server={"clients": {}}), {})  # noqa: E731
        change_secrets(service.broker, nobody)
        body = {"call_id": uuid4().hex}
        assert (await service.post("/v1/calls", body))[0] == 401
        assert (await service.post("/v1/calls", body, headers={"X-Api-Key": KEY}))[0] == 202
