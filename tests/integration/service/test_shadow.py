"""A CRM in shadow mode beside a running broker: calls never notice, `broker shadow` tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.check import check
from broker.cli.lookup import ask, parse_query
from broker.cli.lookup import report as lookup_report
from broker.cli.shadow import report, reset
from broker.parts import open_parts, refuse_unfit
from broker.settings import from_mapping
from tests.integration.service.conftest import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from broker.settings import Settings
    from tests.integration.service.conftest import Service

CSV = "id,phone,email,premium,track_id\n"


def beside(configuration: dict[str, Any], *rows: str, tmp_path: Path) -> dict[str, Any]:
    """`[crm]` with a CSV file of these rows in shadow mode."""
    file = tmp_path / "new.csv"
    file.write_text(CSV + "\n".join(rows))
    new = {"adapter": "csv", "shadow": True, "options": {"path": str(file)}}
    return {**configuration["crm"], "new": new}


async def lines(settings: Settings, asked: int) -> list[str]:
    """What `broker shadow` prints once so many lookups have been compared."""
    async with asyncio.timeout(10):
        while True:
            printed = (await report(settings, ["new"], 10)).splitlines()
            if printed[1].split()[1] == str(asked):
                return printed
            await asyncio.sleep(0.02)


async def _erased(service: Service, number: str) -> None:
    assert (await service.tells("/v1/erasures", {"number": number}))[0] == 202


async def test_differences_are_printed_with_their_calls_and_go_when_a_person_is_erased(
    serve: Callable[..., Any],
    configuration: dict[str, Any],
    redis_url: str,
    prefix: str,
    tmp_path: Path,
) -> None:
    store = {"url": redis_url, "prefix": prefix}
    crm = beside(configuration, tmp_path=tmp_path)
    async with serve(store=store, crm=crm) as service:
        settings = service.broker.parts.settings
        call, answer = await service.starts("premium")
        assert (answer["lookup"], answer["route"]) == ("found", "premium")
        printed = await lines(settings, 1)
        assert dict(zip(printed[0].split(), printed[1].split(), strict=False))["only_crms"] == "1"
        assert call["call_id"] in "\n".join(printed)
        assert call["email"] not in "\n".join(printed)
        status, metrics = await _metrics(service)
        assert status == 200
        assert 'broker_shadow_total{crm="new",result="only_crms"} 1.0' in metrics
        await _erased(service, call["from"])
        assert call["call_id"] not in "\n".join(await lines(settings, 1))
        await reset(settings, ["new"])
        assert (await lines(settings, 0))[1].split()[-1] == "-"


async def _metrics(service: Service) -> tuple[int, str]:
    async with service.http.get(f"{service.url}/metrics") as answer:
        return answer.status, await answer.text()


async def test_a_difference_names_the_fields_and_no_values(
    serve: Callable[..., Any],
    configuration: dict[str, Any],
    redis_url: str,
    prefix: str,
    tmp_path: Path,
) -> None:
    crm = beside(configuration, tmp_path=tmp_path)
    async with serve(store={"url": redis_url, "prefix": prefix}, crm=crm) as service:
        call = await service.rings("premium")
        other = f"N-1,{call['from']},{call['email']},false,{call['track_id']}"
        (tmp_path / "new.csv").write_text(f"{CSV}{other}\n")
        body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
        await service.tells("/v1/calls?wait_ms=5000", body)
        printed = "\n".join(await lines(service.broker.parts.settings, 1))
        assert "differs in: " in printed
        assert "premium false / true" in printed
        assert (await service.session(call))["variables"]["ivr.premium"] is True


async def test_a_dead_shadow_changes_nothing_for_the_call(
    serve: Callable[..., Any], configuration: dict[str, Any]
) -> None:
    options = {"base_url": "http://127.0.0.1:9", "phone_path": "/people?phone={e164}"}
    dead = {"adapter": "rest", "shadow": True, "options": options}
    async with serve(crm={**configuration["crm"], "dead": dead}) as service:
        _, answer = await service.starts("premium")
        assert (answer["lookup"], answer["route"]) == ("found", "premium")


async def test_a_shadow_that_cannot_work_is_told_and_does_not_stop_the_start(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    configuration = tables(sandbox)
    crm = beside(configuration, tmp_path=tmp_path)
    settings = from_mapping({**configuration, "crm": crm}, {})
    (tmp_path / "new.csv").unlink()
    async with open_parts(settings) as parts:
        warnings = await refuse_unfit(parts)
    assert [warning.partition(":")[0] for warning in warnings] == ["crm.new"]
    findings = {finding.part: finding.works for finding in await check(settings, live=False)}
    assert findings["crm new (shadow)"] is False


@pytest.mark.parametrize("silent", [False, True])
async def test_lookup_shows_the_shadow_and_does_not_count_it(
    sandbox: Sandbox, tmp_path: Path, *, silent: bool
) -> None:
    configuration = tables(sandbox)
    number = "+493023125001"
    crm = beside(configuration, f"N-1,{number},a@example.com,true,T-1", tmp_path=tmp_path)
    if silent:
        (tmp_path / "new.csv").unlink()
    settings = from_mapping({**configuration, "crm": crm}, {})
    answers, result = await ask(settings, parse_query(settings, number, None))
    printed = lookup_report(
        settings, parse_query(settings, number, None), answers, result, show=False
    )
    shown = next(line for line in printed.splitlines() if line.startswith("new (shadow)"))
    assert ("error" if silent else "found") in shown
    assert "from new" not in printed
