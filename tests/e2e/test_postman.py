"""The Postman collection against running processes: what QA does, on both stores."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import BrokerProcess, SandboxProcess, Story

POSTMAN = Path(__file__).parents[2] / "postman"
COLLECTION = POSTMAN / "call-session-broker.postman_collection.json"
NEEDS_SANDBOX = "[sandbox]"


def requests_of(folder: dict[str, Any], *above: str) -> Iterator[tuple[str, bool]]:
    """Id of every request, and whether it or a folder around it is marked `[sandbox]`."""
    names = (*above, folder.get("name", ""))
    for item in folder.get("item", ()):
        yield from requests_of(item, *names)
    if "request" in folder:
        yield folder["id"], any(NEEDS_SANDBOX in name for name in names)


REQUESTS = dict(requests_of(json.loads(COLLECTION.read_text())))


class Newman:
    """Runs the collection; fails with newman's own words."""

    def __init__(self, command: str, folder: Path) -> None:
        self._command = command
        self._folder = folder

    def run(self, environment: str, **variables: str) -> set[str]:
        """The ids of the requests that were sent."""
        report = self._folder / "report.json"
        given = [word for pair in variables.items() for word in ("--env-var", "=".join(pair))]
        done = subprocess.run(
            [
                *(self._command, "run", str(COLLECTION), *given),
                *("-e", str(POSTMAN / f"{environment}.postman_environment.json")),
                *("--reporters", "cli,json", "--reporter-json-export", str(report)),
                *("--color", "off"),
            ],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        run = json.loads(report.read_text())["run"]
        assert run["failures"] == []
        assert run["stats"]["assertions"]["total"] > len(run["executions"])
        return {execution["item"]["id"] for execution in run["executions"]}


@pytest.fixture
def runner(newman: str, tmp_path: Path) -> Newman:
    return Newman(newman, tmp_path)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of a broker on each store."""
    return {} if request.param == "memory" else dict(request.getfixturevalue("in_redis"))


def test_every_request_is_sent_and_holds(
    runner: Newman,
    serve: Callable[..., BrokerProcess],
    sandbox_process: SandboxProcess,
    store: dict[str, str],
) -> None:
    broker = serve(**store)
    sandbox = sandbox_process.base_url
    addresses = {"broker_url": broker.base_url, "sandbox_url": sandbox, "platform_url": sandbox}
    assert runner.run("sandbox", **addresses) == set(REQUESTS)
    assert '"level":"error"' not in broker.program.said
    assert "example.com" not in broker.program.said


async def test_without_a_sandbox_only_what_needs_none_is_sent(
    runner: Newman, serve: Callable[..., BrokerProcess], story: Story
) -> None:
    broker = serve()
    call = await story.rings("standard")
    await story.starts(broker.base_url, call)
    sent = runner.run(
        "real",
        broker_url=broker.base_url,
        platform_url=story.sandbox,
        platform_username="manager@example.com",
        platform_password="sandbox-password",
        my_number=call["from"],
    )
    assert sent == {id_ for id_, needs_sandbox in REQUESTS.items() if not needs_sandbox}
