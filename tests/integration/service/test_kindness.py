"""What `[crm.<name>]` says about sparing a CRM takes effect in a running broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service


async def test_a_crm_is_asked_no_more_often_than_its_rate_allows(
    serve: Callable[..., Any], configuration: dict[str, Any]
) -> None:
    shop = configuration["crm"]["shop"] | {"rate_per_s": 0.001}
    async with serve(crm={"shop": shop}) as service:
        answers = [(await service.starts("premium"))[1] for _ in range(2)]
    assert [answer["lookup"] for answer in answers] == ["found", "error"]


async def test_one_lookup_at_a_time_is_one_at_a_time(
    serve: Callable[..., Any], configuration: dict[str, Any]
) -> None:
    shop = configuration["crm"]["shop"] | {"max_concurrency": 1}
    async with serve(crm={"shop": shop}, lookup={"deadline_ms": 500}) as service:
        slow = await service.rings("slow")
        body = {name: slow[name] for name in ("call_id", "session_id", "from", "to")}
        await service.post("/v1/calls", body)
        _, answer = await service.starts("premium")
    assert answer["lookup"] == "timeout", "the slow one has the only turn"


CACHED = {"cache": {"found_s": 600, "not_found_s": 60}}


async def _asked(service: Service, call: dict[str, Any]) -> list[Any]:
    """He calls once more: whether the CRM was asked, by the trace."""
    again = {"call_id": uuid4().hex, "session_id": uuid4().hex, "from": call["from"]}
    _, answer = await service.post("/v1/calls?wait_ms=3000", again)
    _, trace = await service.get(f"/v1/calls/{answer['call_id']}/trace")
    return ["cached_s" not in note for note in trace["trace"] if "crm" in note]


@pytest.mark.parametrize("by", ["number", "customer_id"])
async def test_a_cached_customer_is_asked_for_again_once_the_crm_says_that_he_changed(
    serve: Callable[..., Any], configuration: dict[str, Any], by: str
) -> None:
    shop = configuration["crm"]["shop"] | CACHED
    async with serve(crm={"shop": shop}) as service:
        call, answer = await service.starts("standard")
        assert answer["lookup"] == "found"
        assert await _asked(service, call) == [False]
        who = {"number": call["from"], "customer_id": call["email"].split("@")[0]}[by]
        body = {"crm": "shop", by: who}
        status, answer = await service.post("/v1/cache/invalidations", body)
        assert (status, answer) == (202, {"success": True, "state": "invalidated", "entries": 1})
        assert await _asked(service, call) == [True]
        assert await _asked(service, call) == [False]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_field"),
        ({"crm": "shop"}, "missing_field"),
        ({"number": "+493023125001"}, "missing_field"),
        ({"crm": "other", "number": "+493023125001"}, "invalid_body"),
        ({"crm": "shop", "number": "+493023125001", "customer_id": "1"}, "invalid_body"),
        ({"crm": "shop", "number": "nobody"}, "invalid_body"),
        ({"crm": ["shop"], "number": "+493023125001"}, "invalid_body"),
    ],
)
async def test_which_customer_changed_has_to_be_clear(
    service: Service, body: dict[str, Any], code: str
) -> None:
    status, answer = await service.post("/v1/cache/invalidations", body)
    assert (status, answer["code"]) == (400, code)


async def test_a_change_of_somebody_who_is_not_kept_is_no_error(service: Service) -> None:
    body = {"crm": "shop", "customer_id": 4711}
    status, answer = await service.post("/v1/cache/invalidations", body)
    assert (status, answer["entries"]) == (202, 0)


async def test_telling_changes_needs_the_scope_admin(serve: Callable[..., Any]) -> None:
    clients = {"crm": {"key": "k" * 20, "scopes": ["calls", "read", "deflect"]}}
    async with serve(server={"clients": clients}) as service:
        headers = {"Authorization": "Bearer " + "k" * 20}
        body = {"crm": "shop", "number": "+493023125001"}
        path = "/v1/cache/invalidations"
        status, answer = await service.post(path, body, headers=headers)
        assert (status, answer["code"]) == (403, "scope")
