"""The ordinary way to write it: FastAPI on uvicorn, one shared httpx client, no durability."""

from __future__ import annotations

import os
from typing import Annotated, Any

import httpx
import uvicorn
from fastapi import Body, FastAPI

CRM = os.environ["BENCH_CRM"]
SESSIONS = os.environ["BENCH_SESSIONS"]
http = httpx.AsyncClient()


async def call_started(call: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    customer = (await http.get(f"{CRM}/customers/{call['from']}")).json()
    variables = {
        "ivr.email": customer["email"],
        "ivr.premium": customer["premium"],
        "ivr.track_id": customer["track_id"],
        "ivr.lookup": "found",
        "ivr.route": "premium" if customer["premium"] else "self_service",
    }
    await http.put(f"{SESSIONS}/api/v2/sessions/{call['session_id']}", json=variables)
    return {"success": True, "call_id": call["call_id"], "session": variables}


app = FastAPI()
app.add_api_route("/v1/calls", call_started, methods=["POST"])

if __name__ == "__main__":
    port = int(os.environ["BENCH_PORT"])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
