"""Bodies that do not come."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from broker.web.payloads import whole_body


async def test_client_who_was_gone_before_his_body_was_read_is_no_fault_of_ours() -> None:
    loop = asyncio.get_running_loop()
    body = StreamReader(BaseProtocol(loop), 2**16, loop=loop)  # of no connection any more
    request = make_mocked_request("POST", "/v1/calls", payload=body)
    request.protocol.transport = None
    with pytest.raises(ConnectionResetError):
        await whole_body(request, 1000)
