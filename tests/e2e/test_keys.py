"""A client's key that is changed while calls come in, and a change that cannot be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import ClientSession

from tests.e2e.conftest import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import BrokerProcess, Program

OLD, NEW = "old-key-of-sixteen-x", "new-key-of-sixteen-x"
CHANGED, UNCHANGED = '"secrets_changed"', '"secrets_unchanged"'


class Automation:
    """An IVR whose calls come one after the other, with the key that it has at the moment."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.key = OLD
        self.over = False
        self.statuses: list[int] = []

    async def call(self, key: str, path: str = "") -> int:
        body, headers = {"call_id": uuid4().hex}, {"Authorization": f"Bearer {key}"}
        async with self._http.post(f"{self._url}/v1/calls{path}", json=body, headers=headers) as r:
            return r.status

    async def run(self) -> None:
        while not self.over:
            self.statuses.append(await self.call(self.key))

    async def two_more(self) -> None:
        """Returns after a call that was begun after this."""
        enough = len(self.statuses) + 2

        async def came() -> bool:
            return len(self.statuses) >= enough

        await until(came)


async def read_again(program: Program, says: str) -> None:
    """SIGHUP; returns once the program has said what came of it."""
    before = program.said.count(says)
    program.hang_up()

    async def said() -> bool:
        return program.said.count(says) > before

    await until(said)


async def test_a_key_is_changed_without_a_restart_and_without_a_refusal(
    serve: Callable[..., BrokerProcess], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(OLD)
    broker = serve(BROKER_SERVER__CLIENTS__IVR__KEY_FILE=str(file))
    async with ClientSession() as http:
        ivr = Automation(http, broker.base_url)
        assert await ivr.call(NEW) == 401
        calls = asyncio.create_task(ivr.run())
        await ivr.two_more()
        file.write_text(f"{NEW}\n{OLD}\n")
        await read_again(broker.program, CHANGED)
        await ivr.two_more()
        ivr.key = NEW
        await ivr.two_more()
        file.write_text(NEW)
        await read_again(broker.program, CHANGED)
        await ivr.two_more()
        ivr.over = True
        await calls
        assert set(ivr.statuses) == {202}
        assert await ivr.call(OLD) == 401


async def test_keys_that_cannot_be_read_leave_the_old_ones_and_are_named_in_the_log(
    serve: Callable[..., BrokerProcess], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(OLD)
    broker = serve(BROKER_SERVER__CLIENTS__IVR__KEY_FILE=str(file))
    async with ClientSession() as http:
        ivr = Automation(http, broker.base_url)
        for fault in ("", "too-short"):
            file.write_text(fault)
            await read_again(broker.program, UNCHANGED)
            assert await ivr.call(OLD) == 202
        file.unlink()
        await read_again(broker.program, UNCHANGED)
        assert await ivr.call(OLD) == 202
    faults = [line for line in broker.program.said.splitlines() if UNCHANGED in line]
    assert all("server.clients.ivr.key" in line for line in faults), faults
    assert not any("too-short" in line for line in faults)
