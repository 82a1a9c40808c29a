"""What `[crm.<name>]` says about sparing a CRM takes effect in a running broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
    async with serve(crm={"shop": shop}) as service:
        slow = await service.rings("slow")
        body = {name: slow[name] for name in ("call_id", "session_id", "from", "to")}
        await service.post("/v1/calls", body)
        _, answer = await service.starts("premium")
    assert answer["lookup"] == "timeout", "the slow one has the only turn"
