"""What cannot work is refused at the start; what is only away is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from broker.domain.call import Phone
from broker.domain.customer import LookupState
from broker.domain.errors import ConfigError
from broker.parts import open_parts, refuse_unfit
from broker.settings import from_mapping
from tests.timely import timely

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RedisServer
    from tests.integration.service.conftest import Service


async def test_start_names_every_crm_that_can_never_work(
    configuration: dict[str, Any], tmp_path: Path
) -> None:
    missing = {"adapter": "csv", "options": {"path": str(tmp_path / "missing.csv")}}
    settings = from_mapping({**configuration, "crm": {"shop": missing, "club": missing}}, {})
    async with open_parts(settings) as parts:
        with pytest.raises(ConfigError) as refused:
            await refuse_unfit(parts)
    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["crm.shop", "crm.club"]


async def test_start_names_a_crm_whose_address_nobody_allowed(
    configuration: dict[str, Any],
) -> None:
    inside = {
        "adapter": "rest",
        "options": {"base_url": "http://127.0.0.2:1", "phone_path": "/c?phone={e164}"},
    }
    async with open_parts(from_mapping({**configuration, "crm": {"shop": inside}}, {})) as parts:
        with pytest.raises(ConfigError) as refused:
            await refuse_unfit(parts)
    (fault,) = refused.value.faults
    assert fault == "crm.shop: rest: the address is not allowed by outbound.allow_internal"


async def test_an_outage_shows_in_the_metric_and_in_one_log_line(
    configuration: dict[str, Any],
) -> None:
    away = {
        "adapter": "rest",
        "options": {"base_url": "http://127.0.0.1:1", "phone_path": "/c?phone={e164}"},
    }
    settings = from_mapping({**configuration, "crm": {"shop": away}}, {})
    async with open_parts(settings) as parts:
        with capture_logs() as lines:
            for _ in range(6):
                asking = parts.lookup.ask(Phone.from_e164("+493023125001"))
                assert (await asking.until(2.0)).state is LookupState.ERROR
                await asking.stop()
        shown = parts.metrics.render().decode()
    assert 'broker_breaker_state{dependency="crm.shop"} 2.0' in shown
    assert 'broker_breaker_state{dependency="platform"} 0.0' in shown
    events = [(line["event"], line["dependency"]) for line in lines]
    assert events == [("dependency_away", "crm.shop")]


async def test_crm_that_is_only_away_does_not_stop_the_start(
    configuration: dict[str, Any],
) -> None:
    away = {
        "adapter": "rest",
        "options": {"base_url": "http://127.0.0.1:1", "phone_path": "/c?phone={e164}"},
    }
    async with open_parts(from_mapping({**configuration, "crm": {"shop": away}}, {})) as parts:
        await refuse_unfit(parts)


async def test_store_that_is_away_at_the_start_stops_only_the_accepting(
    serve: Callable[..., Any],
) -> None:
    async with serve(store={"url": "redis://127.0.0.1:1"}) as service:
        assert await refuse_unfit(service.broker.parts) == []
        status, ready = await service.get("/readyz")
        assert (status, ready["status"], ready["profile"]) == (503, "not_ready", "fast")
        assert ready["detail"] == "store: ConnectionError"
        assert (await service.get("/livez"))[0] == 200
        body = {"call_id": "c1", "from": "anonymous"}
        status, problem = await timely(lambda: service.post("/v1/calls", body), 0.2)
        assert (status, problem["code"]) == (503, "store_unavailable")


async def test_full_store_answers_and_yet_is_not_up(
    serve: Callable[..., Any], start_redis: Callable[..., RedisServer]
) -> None:
    async with serve(store={"url": start_redis("--maxmemory", "500kb").url}) as service:
        status, problem = await service.post("/v1/calls", {"call_id": "c1", "from": "anonymous"})
        assert (status, problem["code"]) == (503, "store_unavailable")
        await until(service, "/readyz", '"store: OutOfMemoryError"')
        await until(service, "/metrics", "broker_store_up 0.0")


async def until(service: Service, path: str, said: str) -> None:
    """What is told there comes to contain this."""
    async with asyncio.timeout(20):
        while True:
            async with service.http.get(service.url + path) as shown:
                if said in await shown.text():
                    return
            await asyncio.sleep(0.05)


async def test_store_that_throws_calls_away_is_refused_at_the_start(
    configuration: dict[str, Any], start_redis: Callable[..., RedisServer]
) -> None:
    store = {"url": start_redis("--maxmemory-policy", "allkeys-lru").url}
    async with open_parts(from_mapping({**configuration, "store": store}, {})) as parts:
        with pytest.raises(ConfigError, match="store: maxmemory-policy is allkeys-lru"):
            await refuse_unfit(parts)


async def test_store_without_an_append_only_file_is_told_at_the_start(
    configuration: dict[str, Any], start_redis: Callable[..., RedisServer]
) -> None:
    store = {"url": start_redis("--appendonly", "no").url}
    async with open_parts(from_mapping({**configuration, "store": store}, {})) as parts:
        (warning,) = await refuse_unfit(parts)
    assert warning.startswith("store: appendonly is no")
