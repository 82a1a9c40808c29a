"""What all levels of tests share: a level by folder, real servers, and no silent skip in CI.

A test says `pytest.skip("why")` where a laptop may lack something; in CI that is a failure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import asyncpg
import pytest
import redis
import structlog
from hypothesis import settings
from structlog.dev import ConsoleRenderer, plain_traceback

from tests.servers import REDIS_SERVER, free_port, needs_redis_server
from tests.tally import tally

__all__ = ["tally"]

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

LEVELS = ("unit", "contract", "integration", "e2e", "chaos")
TESTS = Path(__file__).parent
IN_CI = bool(os.environ.get("CI"))
NEEDS_SPECS = "BROKER_SPECS names no folder with the vendors' API descriptions"
START_S = 20.0

structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        # With the values of all variables an error takes seconds, in which the loop stands still.
        ConsoleRenderer(colors=False, exception_formatter=plain_traceback),
    ]
)
settings.register_profile("broker", deadline=None, derandomize=IN_CI)
settings.load_profile("broker")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test module outside of the level folders stops the run."""
    for item in items:
        if item.path.is_relative_to(TESTS) and _level(item.path) not in LEVELS:
            raise pytest.UsageError(f"{item.path}: must lie in tests/ {' | '.join(LEVELS)}")


def _level(path: Path) -> str | None:
    folder, *inner = path.relative_to(TESTS).parts
    return folder if inner else None


_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def _without_excuse(report: _Report) -> _Report:
    """In CI a skip is a failure: whatever a test needs has to be there."""
    if IN_CI and report.skipped and NEEDS_SPECS not in str(report.longrepr):
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_excuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_excuse((yield))


@pytest.fixture(scope="session")
def specs() -> Path:
    """The folder of the vendors' own OpenAPI files, which are not ours to ship."""
    folder = Path(os.environ.get("BROKER_SPECS") or "/nonexistent")
    if not folder.is_dir():
        pytest.skip(NEEDS_SPECS)
    return folder


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A shared Redis: whoever writes there uses `prefix`, and nobody flushes it."""
    url = os.environ.get("BROKER_TEST_REDIS", "redis://127.0.0.1:6379/0")
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            client.ping()
        except redis.RedisError:
            pytest.skip("no Redis answers at BROKER_TEST_REDIS")
    return url


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    """A store prefix of this test alone, whose keys are deleted afterwards."""
    name = f"test-{uuid4().hex[:24]}"  # the longest that `store.prefix` takes is 32
    yield name
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match=f"*{name}*", count=1000):
            client.delete(key)


class RedisServer:
    """A Redis of one test, with an append-only file, that may be killed and started again.

    `start` blocks until it answers: inside a running loop call it with `asyncio.to_thread`.
    Its command line may be changed by `options`.
    """

    def __init__(self, folder: Path, *options: str, password: str = "") -> None:
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(REDIS_SERVER, "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--dir", str(self.folder), "--logfile", "redis.log", "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "everysec"),
                *self._options,
            ]
        )
        with redis.Redis.from_url(self.url) as client:
            _wait_for_ping(client)

    def kill(self) -> None:
        """SIGKILL: what the server had not yet handed to the kernel is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_for_master(self) -> None:
        """Blocks until this replica has caught up with its master."""
        until = time.monotonic() + START_S
        with redis.Redis.from_url(self.url) as client:
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < until
                time.sleep(0.02)

    def hang(self) -> None:
        """SIGSTOP: connections open, and nothing is answered; `wake` ends it."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It hangs inside, and is awake afterwards."""
        self.hang()
        try:
            yield
        finally:
            self.wake()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _wait_for_ping(client: redis.Redis) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            client.ping()
        except redis.RedisError:  # not listening yet, or still loading its file
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis that this test may kill, with these options on its command line."""
    needs_redis_server()
    servers: list[RedisServer] = []

    def start(*options: str, password: str = "") -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, *options, password=password))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def private_redis(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A running Redis that this test may kill."""
    return start_redis()


@pytest.fixture
def postgres_dsn() -> Iterator[str]:
    """A PostgreSQL database whose search path is a schema of this test alone."""
    dsn = os.environ.get("BROKER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
    schema = f"test_{uuid4().hex}"
    try:
        _execute(dsn, f"CREATE SCHEMA {schema}")
    except (OSError, asyncpg.PostgresError):
        pytest.skip("no PostgreSQL takes us in at BROKER_TEST_POSTGRES")
    yield f"{dsn}?search_path={schema}"
    _execute(dsn, f"DROP SCHEMA {schema} CASCADE")


def _execute(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn, timeout=START_S)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    loop = asyncio.new_event_loop()  # not asyncio.run: it would take the test's own loop away
    try:
        loop.run_until_complete(execute())
    finally:
        loop.close()


@pytest.fixture(scope="session")
def newman() -> str:
    """The runner of Postman collections."""
    return _of_npm("newman", "newman@6")


@pytest.fixture(scope="session")
def prism() -> str:
    """The maker of mock servers from API descriptions."""
    return _of_npm("prism", "@stoplight/prism-cli@5")


def _of_npm(name: str, package: str) -> str:
    local = TESTS.parent / "node_modules" / ".bin"
    command = shutil.which(name) or shutil.which(name, path=local)
    if command is None:
        pytest.skip(f"{name} is not installed: npm install --no-save {package}")
    return command
