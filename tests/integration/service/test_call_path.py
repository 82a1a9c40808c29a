"""From a call-start automation to variables in the live session, end to end on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.timely import timely

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service


async def test_customer_stands_in_the_session_before_the_waiting_automation_is_answered(
    service: Service,
) -> None:
    call, answer = await service.starts("premium")
    seen = await service.session(call)
    assert seen["variables"] == {
        "ivr.email": call["email"],
        "ivr.premium": True,
        "ivr.track_id": call["track_id"],
        "ivr.lookup": "found",
        "ivr.route": "premium",
    }
    assert answer["session"] == seen["variables"]
    assert len(seen["writes"]) == 1


async def test_session_id_is_asked_of_the_platform_when_the_automation_does_not_send_it(
    service: Service,
) -> None:
    call, answer = await service.starts("premium", session_id="{session.id}")
    assert answer["lookup"] == "found"
    assert (await service.session(call))["variables"]["ivr.route"] == "premium"
    status, by_session = await service.get(f"/v1/calls/{call['call_id']}")
    assert (status, by_session["session_id"]) == (200, call["session_id"])


async def test_unknown_caller_gets_no_variable_but_lookup_and_route(service: Service) -> None:
    call, _ = await service.starts("unknown")
    variables = (await service.session(call))["variables"]
    assert variables == {"ivr.lookup": "not_found", "ivr.route": "reference"}


async def test_reference_finds_who_the_number_did_not(service: Service) -> None:
    call, _ = await service.starts("unknown")
    path = f"/v1/calls/{call['call_id']}/reference?wait_ms=3000"
    status, answer = await service.post(path, {"reference": f" {call['reference']}#"})
    assert (status, answer["lookup"], answer["route"]) == (200, "found", "self_service")
    assert (await service.session(call))["variables"]["ivr.track_id"] == call["track_id"]


async def test_automation_without_wait_is_answered_at_once_and_the_write_follows(
    service: Service,
) -> None:
    async def asked() -> tuple[int, dict[str, Any]]:
        call = await service.rings("slow")
        return await service.post("/v1/calls", {"call_id": call["call_id"], "from": call["from"]})

    status, answer = await timely(asked, 0.5)
    assert (status, answer["lookup"], answer["route"]) == (202, "pending", None)


async def test_deadline_is_kept_and_the_late_answer_still_counts(
    serve: Callable[..., Any],
) -> None:
    async with serve(lookup={"deadline_ms": 300, "late_ms": 20_000}) as service:
        call, answer = await timely(lambda: service.starts("slow"), 1.5)
        assert (answer["lookup"], answer["route"]) == ("timeout", "reference")
        async with asyncio.timeout(20):
            while (await service.session(call))["variables"].get("ivr.lookup") != "found":
                await asyncio.sleep(0.05)
        assert (await service.session(call))["variables"]["ivr.route"] == "premium"


async def test_late_answer_is_dropped_where_the_operator_wants_it(
    serve: Callable[..., Any],
) -> None:
    changes = {"deadline_ms": 100, "late_ms": 4000, "late": "drop"}
    async with serve(lookup=changes) as service:
        call, _ = await service.starts("slow")
        await asyncio.sleep(2.8)
        assert (await service.session(call))["variables"]["ivr.lookup"] == "timeout"


async def test_two_calls_at_once_never_see_each_other(service: Service) -> None:
    async def found(persona: str) -> tuple[str, str]:
        """Whom the call's session shows in the end, and who it is."""
        call = await service.rings(persona)
        body = {name: call[name] for name in ("call_id", "session_id", "from")}
        assert (await service.post("/v1/calls", body))[0] == 202
        async with asyncio.timeout(40):
            while "ivr.email" not in (shown := (await service.session(call))["variables"]):
                await asyncio.sleep(0.1)
        return shown["ivr.email"], call["email"]

    personas = ["premium", "standard"] * 10
    for shown, wanted in await asyncio.gather(*(found(persona) for persona in personas)):
        assert shown == wanted


async def test_repeated_call_start_is_one_call_and_a_child_leg_gets_its_record(
    service: Service,
) -> None:
    call, _ = await service.starts("premium")
    body = {"call_id": call["call_id"], "from": "+496990009001"}
    assert (await service.post("/v1/calls", body))[1]["session"]["ivr.email"] == call["email"]
    leg = {"call_id": uuid4().hex, "parent_id": call["call_id"], "direction": "outbound"}
    status, answer = await service.post("/v1/calls", leg)
    assert (status, answer["call_id"]) == (202, call["call_id"])
    assert (await service.get(f"/v1/calls/{leg['call_id']}"))[1]["call_id"] == call["call_id"]
    assert len((await service.session(call))["writes"]) == 1
    assert (await service.post(f"/v1/calls/{leg['call_id']}/end", {}))[1] == {
        "success": True,
        "ignored": True,
    }


async def test_child_leg_of_an_unknown_call_is_ignored(service: Service) -> None:
    leg = {"call_id": uuid4().hex, "direction": "outbound", "from": "+493023125001"}
    status, answer = await service.post("/v1/calls", leg)
    assert (status, answer["state"]) == (202, "ignored")
    assert (await service.get(f"/v1/calls/{leg['call_id']}"))[0] == 404


async def test_platform_that_says_the_session_is_gone_ends_the_call(service: Service) -> None:
    call = await service.rings("premium")
    await service.http.post(f"{service.sandbox.base_url}/_sandbox/calls/{call['call_id']}/hangup")
    body = {"call_id": call["call_id"], "session_id": call["session_id"], "from": call["from"]}
    _, answer = await service.post("/v1/calls?wait_ms=3000", body)
    assert answer["state"] == "call_gone"
    assert (await service.session(call))["variables"] == {}


async def test_tracking_email_is_sent_once_and_its_link_opens_the_order(service: Service) -> None:
    call, _ = await service.starts("standard")
    path = f"/v1/calls/{call['call_id']}/tracking-email?wait_ms=3000"
    status, answer = await service.post(path, {})
    assert (status, answer["state"]) == (200, "sent")
    assert (await service.post(path, {}))[1]["state"] == "sent"
    box = [m for m in service.sandbox.state.outbox if m.is_to(call["email"])]
    assert len(box) == 1
    text = str(box[0].content["text"])
    token = text.partition("/t/")[2].split()[0]
    async with service.http.get(f"{service.url}/t/{token}", allow_redirects=False) as hop:
        assert hop.status == 302
        assert hop.headers["Location"].endswith(f"/track/{call['track_id']}")
        assert hop.headers["Referrer-Policy"] == "no-referrer"
        assert hop.headers["Cache-Control"] == "no-store"
    for _ in range(2):  # a mail scanner looks first; nothing is consumed
        async with service.http.head(f"{service.url}/t/{token}", allow_redirects=False) as looked:
            assert looked.status == 302
    async with service.http.get(f"{service.url}/t/{'A' * 43}") as unknown:
        assert unknown.status == 404


async def test_premium_customer_gets_no_email_unless_the_flow_asks(service: Service) -> None:
    for asked, states in ((False, []), (True, ["sent"])):
        call, _ = await service.starts("premium")
        path = f"/v1/calls/{call['call_id']}"
        if asked:
            await service.post(f"{path}/tracking-email?wait_ms=3000", {})
        await service.post(f"{path}/end", {"disposition": "hangup"})
        _, kept = await service.get(path)
        assert [message["state"] for message in kept["messages"]] == states
        assert kept["outcome"] == ("messaged" if asked else "premium")


async def test_live_calls_are_listed_page_by_page_until_they_are_over(service: Service) -> None:
    calls = [(await service.starts("premium"))[0]["call_id"] for _ in range(3)]
    _, first = await service.get("/v1/calls?state=active&limit=2")
    _, second = await service.get(f"/v1/calls?limit=2&cursor={first['cursor']}")
    listed = [call["call_id"] for call in (*first["calls"], *second["calls"])]
    assert listed == calls[::-1]
    assert second["cursor"] is None
    await service.post(f"/v1/calls/{calls[0]}/end", {})
    _, left = await service.get("/v1/calls")
    assert [call["call_id"] for call in left["calls"]] == calls[:0:-1]


async def test_trace_tells_what_happened_without_a_person_in_it(service: Service) -> None:
    call, _ = await service.starts("premium")
    _, trace = await service.get(f"/v1/calls/{call['call_id']}/trace")
    events = [note["event"] for note in trace["trace"]]
    assert events == ["accepted", "crm_answered", "session_written"]
    assert call["email"] not in str(trace)
    assert call["from"] not in str(trace)


async def test_quiet_call_is_over_after_its_idle_time(serve: Callable[..., Any]) -> None:
    async with serve(store={"call_idle_s": 1}) as service:
        call, _ = await service.starts("premium")
        path = f"/v1/calls/{call['call_id']}"
        async with asyncio.timeout(20):
            while not (outcome := (await service.get(path))[1]["outcome"]):
                await asyncio.sleep(0.05)
        assert outcome == "premium"


async def test_tracking_email_asked_for_while_nobody_is_found_is_refused_in_the_end(
    service: Service,
) -> None:
    call = await service.rings("unknown")
    body = {"call_id": call["call_id"], "session_id": call["session_id"], "from": call["from"]}
    await service.post("/v1/calls", body)
    path = f"/v1/calls/{call['call_id']}/tracking-email?wait_ms=300"
    async with asyncio.timeout(20):
        while (refused := await service.post(path, {}))[0] == 202:
            pass
    assert (refused[0], refused[1]["code"]) == (409, "nothing_to_send")
