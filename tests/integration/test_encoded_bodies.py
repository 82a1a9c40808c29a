"""A body that comes compressed is refused unread, whatever is in it."""

from __future__ import annotations

import gzip
import logging
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web

from broker.app import running_broker
from broker.settings import from_mapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PLAIN = b'{"call_id": "a"}'


@pytest.fixture
async def calls_url(tmp_path: Path) -> AsyncIterator[str]:
    """Where a broker takes calls."""
    (tmp_path / "nobody.csv").write_text("id,phones\n")
    options = {"path": str(tmp_path / "nobody.csv")}
    tables = {
        "platform": {"driver": "answer"},
        "crm": {"shop": {"adapter": "csv", "options": options}},
    }
    async with running_broker(from_mapping(tables, {})) as broker:
        runner = broker.runner(shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/calls"
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("encoding", ["gzip", "br", "unheard-of"])
@pytest.mark.parametrize("body", [gzip.compress(PLAIN), PLAIN], ids=["packed", "plain"])
async def test_an_encoded_body_is_refused_in_the_usual_shape_and_is_no_fault_of_ours(
    calls_url: str, encoding: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with ClientSession() as http, http.post(calls_url, data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (415, "encoding")
        assert answer.content_type == "application/problem+json"
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []
