"""The IVR of the demo: places a call, tells the broker what a call flow would tell it, and looks.

It is a stand-in for a call flow on the platform: it talks to the broker and to the sandbox over
HTTP only, and never looks inside either.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from yarl import URL

if TYPE_CHECKING:
    import aiohttp

_LOOK_EVERY_S = 0.03
_PATIENCE_S = 8.0
_LINK = re.compile(r"https?://\S+")


class ScriptError(Exception):
    """The call did not go as its script says."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a call's timeline."""

    ms: int
    who: str
    what: str


@dataclass
class CallFlow:
    """One call, played. Every method is one thing that a caller or his call flow does."""

    http: aiohttp.ClientSession
    broker: str
    sandbox: str
    timeline: list[Moment] = field(default_factory=list)
    call: dict[str, Any] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _shown: dict[str, Any] = field(default_factory=dict)
    _links: list[str] = field(default_factory=list)

    async def rings(self, persona: str, *, anonymous: bool = False) -> None:
        """A caller dials; the platform gives the call its three ids."""
        order = {"persona": persona, "anonymous": anonymous}
        self._began = time.monotonic()
        self.call = await self._sandbox("POST", "/_sandbox/calls", order)
        self._note("caller", f"rings from {self.call['from'] or 'a withheld number'}")

    async def starts(self, *, child_leg: bool = False) -> None:
        """The call-start automation, as global automations send it: for every leg."""
        body = {name: self.call[name] for name in ("call_id", "session_id", "from", "to")}
        body["anonymous"] = self.call["anonymous"]
        if child_leg:
            body |= {"call_id": "c" + self.call["call_id"][1:], "parent_id": self.call["call_id"]}
            body["direction"] = "outbound"
        answer = await self._broker("POST", "/v1/calls", body)
        what = "call-start of an agent's leg" if child_leg else "call-start"
        self._note("IVR", f"POST /v1/calls ({what}): {answer['state']}")

    async def types(self, reference: str) -> None:
        """The caller answers the reference question on his keypad."""
        path = f"/v1/calls/{self.call['call_id']}/reference"
        answer = await self._broker("POST", path, {"reference": reference + "#"})
        shown = "*" * len(reference)
        self._note("IVR", f"POST …/reference (he typed {shown}#): {answer['state']}")

    async def presses(self, key: str, choice: str) -> None:
        """The caller presses a key of the offer; the flow waits until it is done."""
        path = f"/v1/calls/{self.call['call_id']}/choice?wait_ms=5000"
        answer = await self._broker("POST", path, {"key": key})
        if answer["choice"] != choice:
            raise ScriptError(f"choice {answer['choice']!r}, expected {choice!r}")
        self._note("caller", f"presses {key}; POST …/choice: {choice}, {answer['state']}")

    async def is_deflected(self, channel: str) -> None:
        """The flow itself moves him to a channel."""
        path = f"/v1/calls/{self.call['call_id']}/deflect"
        answer = await self._broker("POST", path, {"channel": channel})
        self._note("IVR", f"POST …/deflect to {channel}: {answer['state']}")

    async def gets_text(self) -> None:
        """The message arrives on his phone."""
        try:
            box = await self._until(self._texts, lambda box: bool(box["messages"]))
        except TimeoutError:
            raise ScriptError("no message arrived") from None
        kinds = [message["kind"] for message in box["messages"]]
        if kinds != ["sms"]:
            raise ScriptError(f"he got {kinds}, expected one sms")
        self._links = _LINK.findall(box["messages"][0]["text"])
        self._note("broker", "sends an SMS with a link and nothing else of his")

    async def replies(self, text: str) -> None:
        """He answers the message."""
        reply = {"from": self.call["from"], "text": text}
        await self._sandbox("POST", "/_sandbox/replies", reply)
        self._note("customer", f"answers: {text!r}")

    async def session_has(self, name: str, value: Any) -> None:
        """The trigger that looks at one variable."""
        try:
            await self._until(self._look, lambda seen: seen["variables"].get(name) == value)
        except TimeoutError:
            raise ScriptError(f"the session never had {name} = {value}") from None
        self._note("broker", f"writes into the session: {name} = {str(value).lower()}")

    async def message_is(self, channel: str, *states: str) -> None:
        """How far the message got, by the broker's record."""

        async def record() -> dict[str, Any]:
            return await self._broker("GET", f"/v1/calls/{self.call['call_id']}")

        def reached(seen: dict[str, Any]) -> bool:
            return any(m["channel"] == channel and m["state"] in states for m in seen["messages"])

        try:
            seen = await self._until(record, reached)
        except TimeoutError:
            raise ScriptError(f"no message by {channel} became {' or '.join(states)}") from None
        (message,) = seen["messages"]
        self._note("broker", f"knows that the message by {channel} is {message['state']}")

    async def rings_again(self) -> None:
        """The same caller, later: a new call with new ids."""
        order = {"from": self.call["from"]}
        again = await self._sandbox("POST", "/_sandbox/calls", order)
        self.call = {**self.call, **again}
        self._shown = {}
        self._note("caller", f"rings once more from {self.call['from']}")

    async def session_shows(self, lookup: str, route: str, *, times: int = 1) -> None:
        """The trigger after the prompt: waits until the session says so, `times` writes in all."""
        wanted = {"ivr.lookup": lookup, "ivr.route": route}

        def reached(seen: dict[str, Any]) -> bool:
            return wanted.items() <= seen["variables"].items() and len(seen["writes"]) >= times

        try:
            seen = await self._until(self._look, reached)
        except TimeoutError:
            seen = await self._look()
            raise ScriptError(f"session: {_pick(seen['variables'])}, expected {wanted}") from None
        changed = {k: v for k, v in seen["variables"].items() if self._shown.get(k) != v}
        self._shown = seen["variables"]
        self._note("broker", "writes into the session: " + (_listed(changed) or "the same again"))

    async def gets_mail(self) -> None:
        """The tracking email arrives."""

        def arrived(box: dict[str, Any]) -> bool:
            return bool(box["messages"])

        try:
            box = await self._until(self._outbox, arrived)
        except TimeoutError:
            raise ScriptError("no tracking email arrived") from None
        message = box["messages"][0]
        self._links = _LINK.findall(message["text"])
        self._note("broker", f"sends an email: {message['subject']!r}")

    async def opens_link(self) -> None:
        """The customer opens the link of his email."""
        if len(self._links) != 1:
            raise ScriptError(f"{len(self._links)} links in the email, expected 1")
        async with self.http.get(URL(self._links[0], encoded=True)) as page:
            text = await page.text()
        if page.status != 200 or self.call["track_id"] not in text:  # noqa: PLR2004 - 200 is OK
            raise ScriptError(f"the link answers {page.status} and does not show the order")
        self._note("customer", f"opens the link and sees order {self.call['track_id']}")

    async def waits(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def hangs_up(self) -> None:
        """The caller hangs up, and the call-ended automation says so."""
        await self._sandbox("POST", f"/_sandbox/calls/{self.call['call_id']}/hangup", {})
        path = f"/v1/calls/{self.call['call_id']}/end"
        answer = await self._broker("POST", path, {"disposition": "hangup"})
        self._note("caller", f"hangs up; POST …/end: {answer['state']}")

    async def ends_as(self, outcome: str, *, messages: int) -> None:
        """What became of the call, in the broker's record, the session and the mailbox."""
        path = f"/v1/calls/{self.call['call_id']}"

        async def record() -> dict[str, Any]:
            return await self._broker("GET", path)

        try:
            kept = await self._until(record, lambda seen: seen["outcome"] is not None)
        except TimeoutError:
            raise ScriptError("the call never reached an outcome") from None
        sent = await self._sent(kept)
        writes = len((await self._look())["writes"])
        if (kept["outcome"], sent) != (outcome, messages):
            found = f"{kept['outcome']} with {sent} messages"
            raise ScriptError(f"{found}, expected {outcome} with {messages}")
        if outcome == "call_gone" and writes:
            raise ScriptError(f"{writes} writes into the session of a call that was gone")
        what = f"{writes} session writes, {sent} messages"
        self._note("broker", f"closes the call as {outcome!r}: {what}")

    async def _sent(self, record: dict[str, Any]) -> int:
        """What reached him for this call: the mailbox and the phone remember other calls, too."""
        texts = any(m["purpose"] == "deflection" for m in record["messages"])
        box = await (self._texts() if texts else self._outbox())
        return len(box["messages"])

    async def _texts(self) -> dict[str, Any]:
        number = quote(self.call["from"])
        return await self._sandbox("GET", f"/_sandbox/outbox?to={number}")

    async def _look(self) -> dict[str, Any]:
        return await self._sandbox("GET", f"/_sandbox/calls/{self.call['call_id']}")

    async def _outbox(self) -> dict[str, Any]:
        address = self.call.get("email", "nobody")
        return await self._sandbox("GET", f"/_sandbox/outbox?to={address}")

    @staticmethod
    async def _until(look: Any, reached: Any) -> dict[str, Any]:
        """What `look` shows once it is `reached`; TimeoutError after `_PATIENCE_S`."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                seen: dict[str, Any] = await look()
                if reached(seen):
                    return seen
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _broker(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return await self._ask(method, self.broker + path, body)

    async def _sandbox(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return await self._ask(method, self.sandbox + path, body)

    async def _ask(self, method: str, url: str, body: Any) -> dict[str, Any]:
        async with self.http.request(method, url, json=body) as response:
            content: dict[str, Any] = await response.json(content_type=None)
        if response.status >= 400:  # noqa: PLR2004 - whatever is refused
            raise ScriptError(f"{method} answered {response.status} {content.get('code', '')}")
        return content

    def _note(self, who: str, what: str) -> None:
        self.timeline.append(Moment(round((time.monotonic() - self._began) * 1000), who, what))


def _pick(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: variables.get(name) for name in ("ivr.lookup", "ivr.route")}


def _listed(variables: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} = {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in sorted(variables.items())
        if name.startswith("ivr.")
    )
