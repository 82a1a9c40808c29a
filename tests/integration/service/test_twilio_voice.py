"""Whole calls through the telephone menu, as Twilio leads them: signed webhooks, TwiML back."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest

from broker.domain.twilio_signature import twilio_signature
from broker.usecases.voice import STORE_S
from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, outbox
from tests.integration.service.test_sms import MOBILE
from tests.timely import timely

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

TOKEN = "the-auth-token-of-the-account"
PUBLIC = "https://broker.example.com/ivr"
PREMIUM, QUEUE = "+493023125901", "+493023125902"
STRANGER = "+4915112345679"
LINE = "+493023125000"
FILE = f"""\
id,phone,reference,email,premium,track_id,language
7,{MOBILE},7000001,seven@example.com,false,TRK-STANDARD-007,de
8,+4915112345680,7000002,eight@example.com,true,,en
"""


def talking(sandbox: Sandbox, tmp_path: Path, **more: Any) -> dict[str, Any]:
    made = deflecting(sandbox, tmp_path)
    path = tmp_path / "people.csv"
    path.write_text(FILE)
    voice = {"auth_token": TOKEN, "premium_dial": PREMIUM, "queue_dial": QUEUE, **more}
    return made | {
        "crm": {"file": {"adapter": "csv", "options": {"path": str(path), "region": "DE"}}},
        "server": {"public_url": PUBLIC},
        "twilio_voice": voice,
    }


@dataclass
class Caller:
    """One call at Twilio: asks where it was told to, and hears what it gets."""

    service: Service
    number: str | None = MOBILE
    call_id: str = field(default_factory=lambda: "CA" + uuid4().hex)
    heard: ET.Element = field(default_factory=lambda: ET.Element("Response"))

    async def asks(
        self, path: str, delivery: str | None = None, **fields: str
    ) -> tuple[int, bytes]:
        form = {"CallSid": self.call_id, "To": LINE, "CallStatus": "in-progress", **fields}
        form |= {"From": self.number} if self.number else {}
        signature = twilio_signature(TOKEN, PUBLIC + path, form.items())
        headers = {"X-Twilio-Signature": signature}
        headers |= {"I-Twilio-Idempotency-Token": delivery} if delivery else {}
        url = self.service.url + path
        async with self.service.http.post(url, data=form, headers=headers) as answer:
            return answer.status, await answer.read()

    async def hears(self, path: str, delivery: str | None = None, **fields: str) -> str:
        status, document = await self.asks(path, delivery, **fields)
        assert status == 200, document
        self.heard = ET.fromstring(document)  # noqa: S314 - our own document
        return " ".join(say.text or "" for say in self.heard.iter("Say"))

    async def rings(self) -> str:
        return await self.hears("/v1/twilio/voice")

    async def presses(self, keys: str, delivery: str | None = None) -> str:
        gather = self.heard.find("Gather")
        assert gather is not None
        assert gather.get("action") == f"{PUBLIC}/v1/twilio/gather"
        return await self.hears("/v1/twilio/gather", delivery, Digits=keys)

    async def waits(self) -> str:
        """Nothing is pressed, so Twilio does what comes next."""
        assert self.heard.findtext("Redirect") == f"{PUBLIC}/v1/twilio/gather"
        return await self.hears("/v1/twilio/gather")

    @property
    def dialled(self) -> str | None:
        return self.heard.findtext("Dial/Number")

    @property
    def hung_up(self) -> bool:
        return self.heard.find("Hangup") is not None

    async def leg(self, status: str, **fields: str) -> str:
        """The dialled leg has ended."""
        return await self.hears("/v1/twilio/status", DialCallStatus=status, **fields)

    async def tells(self, **fields: str) -> None:
        status, _ = await self.asks("/v1/twilio/status", **fields)
        assert status == 204

    async def record(self) -> dict[str, Any]:
        _, shown = await self.service.get(f"/v1/calls/{self.call_id}")
        return shown


async def test_a_premium_caller_gets_to_his_agent(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, "+4915112345680")
        assert await caller.rings() == "Welcome. We connect you with your personal adviser."
        assert caller.dialled == PREMIUM
        leg = {"CallSid": "CA" + "1" * 32, "ParentCallSid": caller.call_id}
        await caller.tells(**leg, CallStatus="in-progress")
        shown = await caller.record()
        assert (shown["outcome"], shown["disposition"]) == ("premium", "answered")
        await caller.leg("completed")
        assert caller.hung_up


async def test_a_premium_agent_who_does_not_answer_makes_way_for_the_queue(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, "+4915112345680")
        await caller.rings()
        await caller.leg("no-answer")
        assert caller.dialled == QUEUE
        assert "Nobody is free" in await caller.leg("busy")
        assert caller.hung_up
        assert (await caller.record())["phase"] == "over"


async def test_a_stranger_is_asked_for_his_reference_until_it_is_found(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, STRANGER)
        assert "reference of 7 digits" in await caller.rings()
        gather = caller.heard.find("Gather")
        assert gather is not None
        assert gather.get("numDigits") == "7"
        for _ in range(2):
            assert (await caller.presses("1111111")).startswith("We have not found")
        assert (await caller.record())["steps"][-1]["name"] == "reference-1", "the same value"
        heard = await caller.presses("7000001")
        assert heard.startswith("Drücken Sie die 1"), "he is known, and so is his language"


@pytest.mark.parametrize("number", ["+266696687", "anonymous", None])
async def test_who_withholds_his_number_is_asked_and_after_three_tries_waits(
    sandbox: Sandbox, tmp_path: Path, number: str | None
) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, number)
        await caller.rings()
        assert (await caller.record())["lookup"] == "withheld"
        await caller.presses("1111111")
        await caller.waits()
        assert caller.dialled is None
        await caller.presses("22")
        assert caller.dialled == QUEUE, "nothing reaches him, so nothing is offered"


async def test_an_invalid_key_is_told_and_the_third_time_he_gets_to_a_person(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = talking(sandbox, tmp_path, wait_minutes=30)
    async with served(sandbox, **changed) as service:
        caller = Caller(service)
        assert "etwa 30 Minuten. Drücken Sie die 1" in await caller.rings()
        assert (await caller.presses("9")).startswith("Diese Taste ist nicht belegt.")
        assert (await caller.waits()).startswith("Die Wartezeit"), "silence counts, and no more"
        await caller.presses("8")
        assert caller.dialled == QUEUE
        assert not sandbox.state.outbox


RULES = """


[[rule]]
name = "long-wait"
offer = true
min_ewt_seconds = 600
min_prompts_heard = 2
text = { de = "Noch {minutes} Minuten." }
"""


@pytest.mark.parametrize(("minutes", "offered"), [(30, True), (5, False)])
async def test_rules_decide_whether_he_is_offered_a_channel_and_what_is_said(
    sandbox: Sandbox, tmp_path: Path, minutes: int, offered: bool
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    changed = talking(sandbox, tmp_path, wait_minutes=minutes)
    changed["deflection"] = changed["deflection"] | {"rules": str(rules)}
    async with served(sandbox, **changed) as service:
        caller = Caller(service, STRANGER)
        await caller.rings()
        heard = await caller.presses("7000001")
        assert (f"Noch {minutes} Minuten. Drücken Sie die 1" in heard) is offered
        assert (caller.dialled == QUEUE) is not offered


async def test_rules_that_want_more_prompts_first_send_him_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    changed = talking(sandbox, tmp_path, wait_minutes=30)
    changed["deflection"] = changed["deflection"] | {"rules": str(rules)}
    async with served(sandbox, **changed) as service:
        caller = Caller(service)
        await caller.rings()
        assert caller.dialled == QUEUE, "the greeting is one prompt only"


async def test_who_wants_to_wait_gets_to_a_person(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service)
        await caller.rings()
        await caller.presses("2")
        assert caller.dialled == QUEUE


async def test_who_presses_1_hangs_up_with_a_message(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service)
        await caller.rings()
        assert (await caller.presses("1")).startswith("Sie haben eine Nachricht.")
        assert caller.hung_up
        assert len(await outbox(service, MOBILE)) == 1
        await caller.tells(CallStatus="completed")
        shown = await caller.record()
        assert (shown["outcome"], shown["disposition"]) == ("messaged", "deflected")


async def test_who_cannot_be_written_to_keeps_his_place(sandbox: Sandbox, tmp_path: Path) -> None:
    changed = talking(sandbox, tmp_path)
    changed["deflection"] = changed["deflection"] | {"channels": ["sms"]}
    async with served(sandbox, **changed) as service:
        faults = f"{sandbox.base_url}/_sandbox/faults"
        async with service.http.put(faults, json={"twilio": {"status": 404}}) as taken:
            assert taken.status == 200
        caller = Caller(service)
        await caller.rings()
        assert (await caller.presses("1")).startswith("Die Nachricht konnte nicht")
        assert caller.dialled == QUEUE
        await caller.tells(CallStatus="completed")
        assert (await caller.record())["disposition"] == "abandoned"


async def test_a_webhook_that_comes_twice_counts_once(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service)
        for _ in range(2):
            assert (await caller.rings()).startswith("Guten Tag. Drücken Sie die 1")
        offer = caller.heard
        for _ in range(4):
            assert (await caller.presses("9", "delivery-1")).startswith("Diese Taste")
        for _ in range(2):
            caller.heard = offer
            await caller.presses("1", "delivery-2")
            assert caller.hung_up
        assert len(await outbox(service, MOBILE)) == 1


async def test_a_dialled_leg_that_is_told_twice_is_one(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, "+4915112345680")
        await caller.rings()
        told = {"DialCallStatus": "busy"}
        for _ in range(2):
            await caller.hears("/v1/twilio/status", "delivery-1", **told)
            assert caller.dialled == QUEUE


async def test_a_caller_who_hangs_up_while_it_rings_has_given_up(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        caller = Caller(service, "+4915112345680")
        await caller.rings()
        await caller.leg("no-answer", CallStatus="completed")
        assert (await caller.record())["disposition"] == "abandoned"


async def test_keys_of_a_call_that_nobody_knows_begin_it(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        assert (await Caller(service).hears("/v1/twilio/gather")).startswith("Guten Tag.")


@pytest.mark.parametrize("path", ["/v1/twilio/voice", "/v1/twilio/gather"])
async def test_while_the_store_hangs_the_caller_gets_to_a_person_and_hears_no_error(
    sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # the kernel connects, nobody answers
        away = {"store": {"url": f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"}}
        async with served(sandbox, **talking(sandbox, tmp_path) | away) as service:
            caller = Caller(service)
            heard = await timely(lambda: caller.hears(path), STORE_S + 1)
            assert heard == "We connect you with the next free colleague."
            assert caller.dialled == QUEUE


@pytest.mark.parametrize("path", ["voice", "gather", "status"])
async def test_a_forged_request_is_refused_and_does_nothing(
    sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    async with served(sandbox, **talking(sandbox, tmp_path)) as service:
        form = {"CallSid": "CA" + "2" * 32, "From": MOBILE, "To": LINE, "CallStatus": "ringing"}
        url = f"{PUBLIC}/v1/twilio/{path}"
        for signature in (
            "",
            "Zm9yZ2Vk",
            twilio_signature(TOKEN, url, {**form, "From": ""}.items()),
        ):
            headers = {"X-Twilio-Signature": signature}
            status, answer = await service.post(f"/v1/twilio/{path}", data=form, headers=headers)
            assert (status, answer["code"]) == (403, "signature")
        status, _ = await service.get(f"/v1/calls/{form['CallSid']}")
        assert status == 404


async def test_both_tokens_are_good_while_they_are_changed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = talking(sandbox, tmp_path, auth_token=f"another-token-of-twilio {TOKEN}")
    async with served(sandbox, **changed) as service:
        assert await Caller(service).rings()


async def test_a_slow_crm_costs_its_deadline_and_still_counts_on_the_next_turn(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = talking(sandbox, tmp_path)
    del changed["crm"]
    async with served(sandbox, **changed) as service:
        caller = Caller(service, (await service.rings("slow"))["from"])
        assert "reference" in await caller.rings()
        async with asyncio.timeout(20):
            while (await caller.record())["lookup"] != "found":
                await asyncio.sleep(0.05)
        await caller.waits()
        assert caller.dialled == PREMIUM
