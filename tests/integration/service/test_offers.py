"""Offers over real HTTP: the answer, the session, the platform's figures, and a changed file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.errors import ConfigError
from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, said, shown
from tests.integration.service.test_sms import MOBILE, calls

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

RULES = """
[[rule]]
name = "busy"
offer = true
min_ewt_seconds = 45
max_agents_available = 3
open = true
text = { de = "Etwa {minutes} Minuten.", en = "About {minutes} minutes." }
"""
NIGHT = '[[rule]]\nname = "night"\noffer = "forced"\nfirst_action = true\n'


def write(rules: Path, text: str) -> None:
    rules.write_text(text)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def offering(sandbox: Sandbox, rules: Path, **more: Any) -> dict[str, Any]:
    changes = deflecting(sandbox, rules.parent, rules=str(rules), **more)
    return changes | {"platform": {"live_figures": True}}


async def figures_told(service: Service) -> None:
    """Until the platform has told them: no call waits longer than 300 ms for them."""
    async with asyncio.timeout(20):
        while (await service.broker.figures.now()).missing:
            await asyncio.sleep(0.01)


async def test_the_flow_asks_and_the_platform_tells_how_busy_it_is(
    sandbox: Sandbox, rules: Path
) -> None:
    """The sandbox tells a wait of 45 s, three free agents and an open line."""
    async with served(sandbox, **offering(sandbox, rules)) as service:
        call_id = await calls(service, MOBILE)
        path = f"/v1/calls/{call_id}/offer"
        await figures_told(service)
        answer = await said(service, path, {"prompts_heard": 1, "branch": "billing"})
        assert {key: answer[key] for key in ("offer", "forced", "channels", "text", "rule")} == {
            "offer": True,
            "forced": False,
            "channels": ["sms", "email"],
            "text": "Etwa 1 Minuten.",
            "rule": "busy",
        }
        await shown(service, call_id, "ivr.offer", True)
        await shown(service, call_id, "ivr.offer_text", "Etwa 1 Minuten.")
        _, other = await service.post(path, data={"ewt_seconds": "44", "prompts_heard": "1"})
        assert (other["offer"], other["channels"], other["rule"]) == (False, [], "no_rule")
        await shown(service, call_id, "ivr.offer", False)
        _, trace = await service.get(f"/v1/calls/{call_id}/trace")
        asked = [note for note in trace["trace"] if note["event"] == "offer_asked"]
        assert [(note["rule"], note["missing"]) for note in asked] == [
            ("busy", []),
            ("no_rule", []),
        ]


async def test_a_rule_may_offer_with_the_first_call_of_a_caller_only(
    sandbox: Sandbox, rules: Path
) -> None:
    write(rules, '[[rule]]\nname = "first"\noffer = true\nfirst_call = true\nfirst_action = true\n')
    async with served(sandbox, **offering(sandbox, rules)) as service:
        for offered in (True, False):
            call_id = await calls(service, MOBILE)
            for _ in range(2):
                answer = await said(service, f"/v1/calls/{call_id}/offer", {})
                assert answer["offer"] is offered


async def test_with_auto_offer_the_call_start_has_it(sandbox: Sandbox, rules: Path) -> None:
    write(rules, NIGHT)
    async with served(sandbox, **offering(sandbox, rules, auto_offer=True)) as service:
        call_id = await calls(service, MOBILE)
        await shown(service, call_id, "ivr.offer", True)
        await shown(service, call_id, "ivr.offer_forced", True)


async def test_a_changed_file_is_in_force_without_a_restart(sandbox: Sandbox, rules: Path) -> None:
    async with served(sandbox, **offering(sandbox, rules)) as service:
        call_id = await calls(service, MOBILE)
        path = f"/v1/calls/{call_id}/offer"
        assert (await said(service, path, {}))["rule"] == "first_action"
        write(rules, NIGHT)
        async with asyncio.timeout(15):
            while (await said(service, path, {}))["rule"] != "night":
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ewt_seconds": "soon"}, "invalid_body"),
        ({"ewt_seconds": -1}, "invalid_body"),
        ({"ewt_seconds": "inf"}, "invalid_body"),
        ({"agents_available": 1.5}, "invalid_body"),
        ({"prompts_heard": 10**9}, "invalid_body"),
        ({"branch": "a b"}, "invalid_body"),
    ],
)
async def test_what_is_no_figure_is_refused(
    sandbox: Sandbox, rules: Path, body: dict[str, Any], code: str
) -> None:
    async with served(sandbox, **offering(sandbox, rules)) as service:
        call_id = await calls(service, MOBILE)
        status, answer = await service.post(f"/v1/calls/{call_id}/offer", body)
        assert (status, answer["code"]) == (400, code)


async def test_an_unreplaced_placeholder_is_what_nobody_said(sandbox: Sandbox, rules: Path) -> None:
    async with served(sandbox, **offering(sandbox, rules)) as service:
        call_id = await calls(service, MOBILE)
        body = {"ewt_seconds": "{queue.ewt}", "agents_available": "", "prompts_heard": 1}
        await figures_told(service)
        assert (await said(service, f"/v1/calls/{call_id}/offer", body))["rule"] == "busy"


async def test_an_unknown_call_is_not_found(sandbox: Sandbox, rules: Path) -> None:
    async with served(sandbox, **offering(sandbox, rules)) as service:
        status, answer = await service.post("/v1/calls/nobody/offer", {})
        assert (status, answer["code"]) == (404, "unknown_call")


async def test_without_rules_nothing_is_offered(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        call_id = await calls(service, MOBILE)
        answer = await said(service, f"/v1/calls/{call_id}/offer", {"prompts_heard": 1})
        assert (answer["offer"], answer["rule"]) == (False, "no_rule")


async def test_a_rules_file_with_faults_stops_the_start_and_all_are_told(
    sandbox: Sandbox, rules: Path
) -> None:
    write(rules, '[[rule]]\nname = "x"\noffer = true\nchannels = ["fax"]\nshare = 2\n')
    with pytest.raises(ConfigError) as caught:
        async with served(sandbox, **offering(sandbox, rules)):
            pass
    assert caught.value.faults == (
        "rules.toml: rule.x.channels: names a channel that does not exist (known: email, sms)",
        "rules.toml: rule.x.share: must be less than or equal to 1",
    )
