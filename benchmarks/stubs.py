"""The world around a contender, fast enough not to be what is measured: CRM, sessions, Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.request import urlopen

from benchmarks.machine import LOAD_CPU, Pinned, free_port

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/{name}.pid;
error_log {folder}/{name}.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/{name}.body; proxy_temp_path {folder}/{name}.proxy;
  fastcgi_temp_path {folder}/{name}.fastcgi; uwsgi_temp_path {folder}/{name}.uwsgi;
  scgi_temp_path {folder}/{name}.scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /count {{ stub_status; }}
    {location}
  }}
}}
"""
NOBODY = "+12025550199"
"""The broker asks for it before it serves: a CRM that finds somebody by it finds anybody."""
_RECORD = {
    "id": "40012",
    "email": "erika.mustermann@example.com",
    "premium": True,
    "track_id": "TRK-7730021",
    "phone": "$phone",
    "name": "Erika Mustermann",
    "language": "de",
    "address": {"street": "Heidestrasse 17", "zip": "51147", "city": "Koeln", "country": "DE"},
    "created": "2021-03-04T10:11:12Z",
    "updated": "2026-10-30T08:00:00Z",
}
_CUSTOMER = f"""
location = /customers/{NOBODY} {{ return 404; }}
location ~ ^/customers/(?<phone>.+)$ {{ return 200 '{json.dumps(_RECORD)}'; }}
"""
_SESSION = """
location = /api/v2/ping { return 200 '{"success":true}'; }
location ~ ^/api/v2/sessions/(?<session>[0-9a-f]+)$ { return 200
  '{"success":true,"item":{"id":"$session","valid":true}}'; }
"""


class Stub:
    """An nginx with one canned answer, which counts its requests."""

    def __init__(self, name: str, location: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / f"{name}.conf"
        config.write_text(
            _NGINX.format(name=name, folder=folder, port=self.port, location=location)
        )
        command = ["nginx", "-p", str(folder), "-e", f"{name}.log", "-c", str(config)]
        self.process = Pinned(LOAD_CPU, command, folder / f"{name}.out")
        self._asked = 0

    def requests(self) -> int:
        """How many requests came so far, without those of this method."""
        with urlopen(f"{self.url}/count") as answer:  # noqa: S310 - our own stub
            total = int(answer.read().split()[9])
        self._asked += 1
        return total - self._asked


class World:
    """All stubs and a Redis of our own, running; they stop with `stack`."""

    def __init__(self, folder: Path, stack: ExitStack, *, fsync: str = "everysec") -> None:
        self.folder = folder
        self.crm = Stub("crm", _CUSTOMER, folder)
        self.sessions = Stub("sessions", _SESSION, folder)
        self.redis_port = free_port()
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.redis = Pinned(LOAD_CPU, _redis(self.redis_port, folder, fsync), folder / "redis.out")
        for process in (self.crm.process, self.sessions.process, self.redis):
            stack.enter_context(process)
        self.crm.process.wait_for(self.crm.port)
        self.sessions.process.wait_for(self.sessions.port)
        self.redis.wait_for(self.redis_port)


def _redis(port: int, folder: Path, fsync: str) -> list[str]:
    return [
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes", "--appendfsync", fsync),
    ]
