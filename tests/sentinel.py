"""Redis Sentinel on loopback: a master, its replicas, and sentinels that fail over."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import redis

from tests.conftest import START_S, RedisServer
from tests.servers import REDIS_SERVER, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_EVERY_S = 0.05
PAUSE_MS = 30_000
LEFT_WITHIN_S = 1.5
"""A broker leaves a master that was replaced after this time."""
PASSWORD = "of-the-data-nodes"
SENTINEL_PASSWORD = "of-the-sentinels"
SERVICE = "shop"
_State = dict[str, Any]


class SentinelGroup:
    """Servers that may be killed, stopped and started again; one of them is the master.

    A server that starts again believes to be a master, until a sentinel tells it otherwise (after
    some 10 s). All methods block: inside a running loop call them with `asyncio.to_thread`.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        replicas: int = 1,
        sentinels: int = 1,
        down_after_ms: int = 500,
    ) -> None:
        """`options`: of the servers' command lines."""
        login = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
        quick = ("--repl-diskless-sync-delay", "0")
        self._folder = folder
        self._down_after_ms = down_after_ms
        self._sentinels: dict[int, subprocess.Popen[bytes]] = {}
        self._ports = [free_port() for _ in range(sentinels)]
        self.servers = []
        for number in range(1 + replicas):
            home = folder / f"server-{number}"
            home.mkdir(parents=True)
            self.servers.append(RedisServer(home, *login, *quick, *options, password=PASSWORD))

    @property
    def url(self) -> str:
        """What `store.url` says."""
        sentinels = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        login = f"sentinel_password={SENTINEL_PASSWORD}"
        return f"redis+sentinel://:{PASSWORD}@{sentinels}/{SERVICE}/0?{login}"

    def start(self) -> None:
        """Returns once somebody could take over."""
        first, *others = self.servers
        for server in self.servers:
            server.start()
        for server in others:
            with redis.Redis.from_url(server.url) as client:
                client.replicaof("127.0.0.1", first.port)
            server.wait_for_master()
        for port in self._ports:
            self._sentinels[port] = self._start_sentinel(port, first.port)
        until(self.whole)

    def _start_sentinel(self, port: int, master_port: int) -> subprocess.Popen[bytes]:
        home = self._folder / f"sentinel-{port}"
        home.mkdir()
        configuration = home / "sentinel.conf"
        quorum = len(self._ports) // 2 + 1
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\n"
            f"requirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} {quorum}\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        log = home / "sentinel.log"
        return subprocess.Popen(
            [REDIS_SERVER, configuration, "--sentinel", "--logfile", log], cwd=home
        )

    def stop(self) -> None:
        for sentinel in self._sentinels.values():
            sentinel.kill()
            sentinel.wait()
        for server in self.servers:
            server.kill()

    @property
    def master(self) -> RedisServer:
        """Whom the sentinels name."""
        with closing(self._ask(self._ports[0])) as sentinel:
            _, port = cast("tuple[str, int]", sentinel.sentinel_get_master_addr_by_name(SERVICE))
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """The master goes on running, and another one is made master."""
        with closing(self._ask(self._ports[0])) as sentinel:
            sentinel.sentinel_failover(SERVICE)

    def hand_over(self) -> None:
        """A planned failover: the old master takes no write until everybody has left it."""
        old = self.master
        with redis.Redis.from_url(old.url) as client:
            client.client_pause(PAUSE_MS, all=False)
        self.fail_over()
        until(lambda: self.replaced(old), PAUSE_MS / 1000)
        time.sleep(LEFT_WITHIN_S)
        with redis.Redis.from_url(old.url) as client:
            client.client_unpause()

    def replaced(self, old: RedisServer) -> bool:
        """Whether another one is the master, and all others but `old` follow it."""
        others = [server for server in self.servers if server is not old]
        try:
            return self.master is not old and self._follow(*others)
        except redis.RedisError:  # a server that is told whom to follow hangs up on everybody
            return False

    def whole(self) -> bool:
        """Whether all servers run and follow the master, and every sentinel knows all others."""
        try:
            return all(self._knows_all(port) for port in self._ports) and self._follow(
                *self.servers
            )
        except redis.RedisError:
            return False

    def _knows_all(self, port: int) -> bool:
        with closing(self._ask(port)) as sentinel:
            replicas = sentinel.sentinel_slaves(SERVICE)
            others = cast("list[_State]", sentinel.sentinel_sentinels(SERVICE))
        away = [one for one in (*replicas, *others) if one["is_sdown"] or one["is_disconnected"]]
        all_known = len(replicas) == len(self.servers) - 1 and len(others) == len(self._ports) - 1
        return all_known and not away

    def _follow(self, *servers: RedisServer) -> bool:
        master = self.master
        for server in servers:
            with redis.Redis.from_url(server.url, socket_timeout=1) as client:
                told = client.info("replication")
            follows = told.get("master_port"), told.get("master_link_status")
            if server is not master and follows != (master.port, "up"):
                return False
        return True

    def _ask(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=SENTINEL_PASSWORD, socket_timeout=1)


def until(reached: Callable[[], bool], within_s: float = START_S) -> None:
    """Blocks; AssertionError if it takes longer."""
    ends = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < ends, f"not within {within_s:.0f} s"
        time.sleep(LOOK_EVERY_S)
