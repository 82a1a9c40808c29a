"""Erasing a person over HTTP leaves nothing of him: not in the store, not in its file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RedisServer
    from tests.integration.service.conftest import Service

_READ = {"hash": "hgetall", "string": "get", "zset": "zrange", "list": "lrange"}


async def _everything(client: aioredis.Redis) -> str:
    """All keys and values of the store."""
    lines = []
    async for key in client.scan_iter():
        kind = str(await client.type(key), "ascii")  # type: ignore[arg-type]
        ends = (0, -1) if kind in {"zset", "list"} else ()
        lines.append(f"{key!r} {await getattr(client, _READ[kind])(key, *ends)!r}")
    return "\n".join(lines)


async def _rewritten(client: aioredis.Redis, server: RedisServer) -> str:
    """The append-only file, once it was written anew."""
    await client.bgrewriteaof()
    async with asyncio.timeout(10):
        while (await client.info("persistence"))["aof_rewrite_in_progress"] or (
            await client.info("persistence")
        )["aof_rewrite_scheduled"]:
            await asyncio.sleep(0.02)
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


async def _tracked(service: Service) -> dict[str, Any]:
    """A call that is over, with everything a call can leave: message, link, counted failure."""
    call, _ = await service.starts("standard", extra_note="mine")
    reference = {"reference": "0000000"}
    await service.tells(f"/v1/calls/{call['call_id']}/reference?wait_ms=3000", reference)
    path = f"/v1/calls/{call['call_id']}/tracking-email?wait_ms=5000"
    assert (await service.tells(path, {}))[1]["state"] == "sent"
    await service.tells(f"/v1/calls/{call['call_id']}/end", {})
    return call


@pytest.mark.parametrize("by", ["number", "email"])
async def test_nothing_of_an_erased_person_is_left_in_redis_nor_in_its_file(
    serve: Callable[..., Any],
    configuration: dict[str, Any],
    private_redis: RedisServer,
    by: str,
) -> None:
    cached = configuration["crm"]["shop"] | {"cache": {"found_s": 600}}
    async with (
        serve(store={"url": private_redis.url}, crm={"shop": cached}) as service,
        aioredis.Redis.from_url(private_redis.url) as client,
    ):
        call = await _tracked(service)
        personal = (call["from"].lstrip("+"), call["email"], call["track_id"])
        before = await _everything(client)
        assert all(value in before for value in personal)
        who = call["from"] if by == "number" else call["email"]
        status, answer = await service.tells("/v1/erasures", {by: who})
        assert (status, answer) == (
            202,
            {"success": True, "state": "erased", "calls": 1, "links": 1, "cached": 1},
        )
        left = await _everything(client)
        assert not [
            value
            for value in (*personal, "mine", "person:", "limit:caller:", "cache:", "cached:")
            if value in left
        ]
        file = await _rewritten(client, private_redis)
        assert not [value for value in personal if value in file]
        assert call["call_id"] in file, "the tombstone, or the wrong file was looked at"


async def test_erased_call_is_unknown_and_its_repeats_are_ignored(service: Service) -> None:
    call, _ = await service.starts("premium")
    await service.post("/v1/erasures", {"number": call["from"]})
    assert (await service.get(f"/v1/calls/{call['call_id']}"))[0] == 404
    body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
    status, answer = await service.post("/v1/calls", body)
    assert (status, answer["state"]) == (202, "ignored")


async def test_person_whom_nobody_knows_is_erased_too(service: Service) -> None:
    status, answer = await service.post("/v1/erasures", {"email": "nobody@example.com"})
    assert (status, answer["state"], answer["calls"]) == (202, "erased", 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_field"),
        ({"number": "", "email": None}, "missing_field"),
        ({"number": "+493023125001", "email": "a@example.com"}, "invalid_body"),
        ({"number": "nobody"}, "invalid_body"),
        ({"email": "nobody"}, "invalid_body"),
        ({"number": ["+493023125001"]}, "invalid_body"),
    ],
)
async def test_who_is_to_be_erased_has_to_be_clear(
    service: Service, body: dict[str, Any], code: str
) -> None:
    status, answer = await service.post("/v1/erasures", body)
    assert (status, answer["code"]) == (400, code)


async def test_erasing_needs_the_scope_admin(serve: Callable[..., Any]) -> None:
    clients = {"ivr": {"key": "k" * 20, "scopes": ["calls", "read", "deflect"]}}
    async with serve(server={"clients": clients}) as service:
        headers = {"Authorization": "Bearer " + "k" * 20}
        body = {"email": "nobody@example.com"}
        status, answer = await service.post("/v1/erasures", body, headers=headers)
        assert (status, answer["code"]) == (403, "scope")
