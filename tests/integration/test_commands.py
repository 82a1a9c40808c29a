"""`broker init`, `check` and `lookup`, and what the command line says when something is wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from broker.__main__ import COMMANDS, main
from broker.channels.templates import Templates
from broker.cli.check import check
from broker.domain.call import Phone
from broker.domain.customer import Customer
from broker.domain.errors import PermanentError, TemporaryError
from broker.parts import open_parts
from broker.platforms.answer import AnswerPlatform
from broker.ports import CrmAdapter, Options
from broker.settings import from_mapping, load
from tests.timely import TRIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aiohttp import ClientSession

    from broker.domain.call import Reference

KNOWN, UNKNOWN = "+493023125001", "+493023125999"
PERSONAL = ("carla.graf@example.com", "Carla", "TRK-1001", "C-1001", "23125001")


class FaultyOptions(Options):
    fault: str = ""


class FaultyAdapter(CrmAdapter):
    """Knows everybody, unless its option says how it fails."""

    options_type = FaultyOptions

    def __init__(self, options: FaultyOptions, http: ClientSession) -> None:  # noqa: ARG002
        self._fault = options.fault

    async def ping(self) -> str:
        await self._fail()
        return "reached"

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        await self._fail()
        return [Customer("X-1", email="x@example.com", phones=(phone.e164,), extra={"tier": "A"})]

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:  # noqa: ARG002
        return []

    async def _fail(self) -> None:
        match self._fault:
            case "hangs":
                await asyncio.sleep(60)
            case "slow":
                await asyncio.sleep(0.06)
            case "away":
                raise TemporaryError("the CRM answered 503")
            case "broken":
                raise ZeroDivisionError(KNOWN)


class ProbedPlatform(AnswerPlatform):
    async def probe_session(self) -> str:
        raise PermanentError("the platform refused the session write")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BROKER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A directory in which `broker init` has just run."""
    directory = tmp_path / "new" / "broker"
    assert main(["init", str(directory)]) == 0
    capsys.readouterr()
    return directory


def tables(*faults: str, **lookup: int) -> dict[str, Any]:
    """A configuration with one CRM for each fault."""
    adapter = f"{__name__}:FaultyAdapter"
    return {
        "platform": {"driver": f"{__name__}:ProbedPlatform"},
        "lookup": {"default_region": "DE"} | lookup,
        "crm": {
            fault or "fine": {"adapter": adapter, "options": {"fault": fault}} for fault in faults
        },
    }


def written(path: Path, content: dict[str, Any]) -> str:
    """The configuration as a file; TOML reads inline tables of JSON scalars."""
    lines = [
        f"{section}.{key} = {_toml(value)}"
        for section, table in content.items()
        for key, value in table.items()
    ]
    path.write_text("\n".join(lines))
    return str(path)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def test_init_writes_a_configuration_that_is_valid_as_it_is(started: Path) -> None:
    settings = load(started / "broker.toml", {})
    assert settings.platform.driver == "answer"
    Templates(settings.templates.dir)
    assert (started / "templates" / "tracking.en.txt").read_text().startswith("Subject:")


def test_init_never_touches_what_exists(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (started / "customers.csv").write_text("mine")
    (started / "broker.toml").unlink()
    assert main(["init", str(started)]) == 0
    assert (started / "customers.csv").read_text() == "mine"
    out = capsys.readouterr().out
    assert f"wrote {started / 'broker.toml'}" in out
    assert f"kept  {started / 'customers.csv'}" in out


def test_what_init_wrote_passes_its_own_check(
    started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(started / "broker.toml")]) == 0
    head, store, platform, crm = capsys.readouterr().out.splitlines()
    assert head.split() == ["part", "state", "ms", "advice"]
    assert store.startswith("store ")
    assert platform.split()[:3] == ["platform", "answer", "ok"]
    assert crm.split()[:3] == ["crm", "customers", "ok"]


def test_what_init_wrote_serves_a_call(started: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    command = [sys.executable, "-m", "broker", "serve", "--config", str(started / "broker.toml")]
    with subprocess.Popen(
        command,
        env=environ | {"BROKER_SERVER__PORT": "0", "BROKER_SERVER__DRAIN_DELAY_S": "0"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            serving = json.loads(process.stdout.readline())
            request = urllib.request.Request(
                f"http://127.0.0.1:{serving['port']}/v1/calls?wait_ms=2000",
                data=json.dumps({"call_id": "c1", "from": KNOWN}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
                answer = json.load(response)
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
        assert process.wait(timeout=10) == 0
    assert (answer["lookup"], answer["route"]) == ("found", "premium")
    assert answer["session"]["ivr.track_id"] == "TRK-1001"
    assert not [value for value in PERSONAL if value.encode() in rest]


async def test_a_question_that_nobody_waits_for_ends_with_the_parts() -> None:
    content = tables("hangs")
    content["crm"]["hangs"]["cache"] = {"found_s": 60}
    async with open_parts(from_mapping(content, {})) as parts:
        asking = parts.lookup.ask(Phone.from_e164(KNOWN), 1.0)
        await asking.until(0.1)
        await asking.stop()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "ask hangs for all" in names
    assert "ask hangs for all" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_check_tells_every_part_even_if_all_others_fail() -> None:
    settings = from_mapping(tables("", "hangs", "away", "broken"), {})
    findings = {f.part: f for f in await check(settings, live=False, within_s=0.2)}
    assert {part: finding.works for part, finding in findings.items()} == {
        "store": True,
        f"platform {__name__}:ProbedPlatform": True,
        "crm fine": True,
        "crm hangs": False,
        "crm away": False,
        "crm broken": False,
    }
    assert findings["crm hangs"].advice.startswith("no answer within 0.2 s")
    assert findings["crm away"].advice == "the CRM answered 503"
    assert "ZeroDivisionError" in findings["crm broken"].advice
    assert 190 <= findings["crm hangs"].ms < 2000


async def test_check_names_the_links_that_are_off_today() -> None:
    bot = {"kind": "telegram", "bot": "shop_bot"}
    links = {
        "over": bot | {"valid_until": "2020-01-31"},
        "to_come": bot | {"valid_from": "2999-12-01"},
        "on": bot,
    }
    settings = from_mapping(tables("") | {"links": links}, {})
    notes = [f.row for f in await check(settings, live=False) if f.part.startswith("link")]
    off = "nobody is sent there today: valid from"
    assert notes == [
        ("link over", "note", "", f"{off} ever until 2020-01-31"),
        ("link to_come", "note", "", f"{off} 2999-12-01 until further notice"),
    ]


def test_check_fails_as_a_whole_if_one_part_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "broker.toml", tables("", "away"))
    assert main(["check", "--config", config]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines[3:]] == [["crm", "fine", "ok"], ["crm", "away", "FAILED"]]


def test_check_writes_a_session_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "broker.toml", tables(""))
    assert main(["check", "--config", config]) == 0
    assert main(["check", "--live", "--config", config]) == 1
    assert "refused the session write" in capsys.readouterr().out


def test_check_names_the_tiers_that_calls_met_and_nobody_mapped(
    tmp_path: Path, redis_url: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "people.csv").write_text(
        "id,phone,tier\n1,030 23125001,Bronze\n2,030 23125002,gold\n3,030 23125003,Tin\n"
    )
    config = tmp_path / "broker.toml"

    def configured(*premium: str) -> None:
        config.write_text(
            f"""
            store = {{ url = "{redis_url}", prefix = "{prefix}" }}
            lookup.default_region = "DE"
            platform.driver = "answer"
            [crm.people]
            adapter = "csv"
            [crm.people.options]
            path = "people.csv"
            region = "DE"
            premium = {{ field = "tier", premium = {json.dumps(premium)} }}
            """
        )

    configured("gold")
    for last in (1, 1, 2, 3):
        asked = ["lookup", "--config", str(config), "--phone", f"030 2312500{last}"]
        assert main(asked) == 0
    assert main(["check", "--config", str(config)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if " note " in line]
    assert [note.split(maxsplit=3)[3] for note in notes] == [
        f'the tier "{tier}" is mapped neither to premium nor to standard; '
        f"met {times} times in the last 7 days"
        for tier, times in (("bronze", 2), ("tin", 1))
    ]
    configured("gold", "bronze", "tin")
    assert main(["check", "--config", str(config)]) == 0
    assert " note " not in capsys.readouterr().out


def test_lookup_says_how_old_an_answer_from_the_cache_is(
    started: Path,
    redis_url: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BROKER_CRM__CUSTOMERS__CACHE__FOUND_S", "600")
    monkeypatch.setenv("BROKER_STORE__URL", redis_url)
    monkeypatch.setenv("BROKER_STORE__PREFIX", prefix)
    asked = ["lookup", "--config", str(started / "broker.toml"), "--phone", KNOWN]
    assert main(asked) == 0
    assert " s ago)" not in capsys.readouterr().out
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert re.search(r"found +[0-9]+ \(said [0-9]+ s ago\)", out)
    assert "ivr.route = premium" in out


@pytest.mark.parametrize("query", [["--phone", "030 23125001"], ["--reference", "2001001"]])
def test_lookup_shows_the_answers_and_the_session_without_personal_data(
    query: list[str], started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lookup", "--config", str(started / "broker.toml"), *query]) == 0
    out = capsys.readouterr().out
    assert "result: found from customers" in out
    assert "ivr.route = premium" in out
    assert not [value for value in PERSONAL if value in out]


def test_lookup_shows_everything_if_told_to(
    started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(started / "broker.toml")
    assert main(["lookup", "--config", config, "--phone", KNOWN, "--show"]) == 0
    assert "ivr.email = carla.graf@example.com" in capsys.readouterr().out


def test_lookup_of_a_stranger_succeeds(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lookup", "--config", str(started / "broker.toml"), "--phone", UNKNOWN]) == 0
    out = capsys.readouterr().out
    assert "result: not_found" in out
    assert "ivr.route = reference" in out


def test_lookup_of_a_reference_leads_where_a_call_would_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tables("") | {"reference": {"tries_per_call": 1}}
    config = written(tmp_path / "broker.toml", content)
    assert main(["lookup", "--config", config, "--reference", "0000001"]) == 0
    assert "ivr.route = standard" in capsys.readouterr().out


def test_lookup_tells_who_failed_who_was_late_and_who_never_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tables("slow", "away", "hangs", deadline_ms=30, late_ms=150)
    config = written(tmp_path / "broker.toml", content)
    for _ in range(TRIES):  # a machine that is late may leave the slow one no time
        assert main(["lookup", "--config", config, "--phone", KNOWN]) == 0
        told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
        if "(late)" in told["slow"]:
            break
    assert "(late)" in told["slow"]
    assert "extra=tier:A***" in told["slow"]
    assert "error" in told["away"]
    assert "timeout" in told["hangs"]


def test_lookup_fails_if_nobody_could_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "broker.toml", tables("away"))
    assert main(["lookup", "--config", config, "--phone", KNOWN]) == 1
    captured = capsys.readouterr()
    assert "result: error (crm_unavailable)" in captured.out
    assert "the CRM answered 503" in captured.err


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (["--phone", "12"], "--phone is no valid number"),
        (["--phone", "anonymous"], "--phone is no valid number"),
        (["--reference", "12"], "which wants: 7 digits"),
        (["--phone", KNOWN, "--reference", "2001001"], "not allowed with"),
        ([], "one of the arguments"),
    ],
)
def test_lookup_refuses_what_no_crm_would_be_asked(
    query: list[str], told: str, started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lookup", "--config", str(started / "broker.toml"), *query]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["list"], ["retry"], ["list", "c1|message:tracking"]])
def test_dead_letters_need_a_shared_store_and_a_clear_command(
    started: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["dead-letters", "--config", str(started / "broker.toml"), *words]) == 2
    assert "shared store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("store", "shadow", "words", "told"),
    [
        ("memory://", True, [], "needs a shared store"),
        ("redis://127.0.0.1:9", False, [], "no [crm.<name>] has shadow = true"),
        ("redis://127.0.0.1:9", True, ["--crm", "fine"], "no CRM in shadow mode has this name"),
        ("redis://127.0.0.1:9", True, ["--show", "many"], "invalid int"),
    ],
)
def test_shadow_says_what_it_needs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    store: str,
    shadow: bool,
    words: list[str],
    told: str,
) -> None:
    content = tables("", "slow") | {"store": {"url": store}}
    content["crm"]["slow"]["shadow"] = shadow
    config = written(tmp_path / "broker.toml", content)
    assert main(["shadow", "--config", config, *words]) == 2
    assert told in capsys.readouterr().err


def test_shadow_without_its_store_fails_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tables("", "slow") | {"store": {"url": "redis://127.0.0.1:9"}}
    content["crm"]["slow"]["shadow"] = True
    assert main(["shadow", "--config", written(tmp_path / "broker.toml", content)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("broker: store: ")


def test_every_fault_of_the_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path / "broker.toml", {"server": {"prot": 1}, "platform": {"driver": "x"}})
    monkeypatch.setenv("BROKER_SERVER__PORT", "c4n4ry")
    for command in ("check", "lookup"):
        query = ["--phone", KNOWN] if command == "lookup" else []
        assert main([command, "--config", config, *query]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 4
        assert all(line.startswith("broker: ") for line in lines)
        assert "c4n4ry" not in "".join(lines)


def test_a_named_configuration_that_is_missing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(tmp_path / "no.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_what_was_decided_for_the_operator_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "broker.toml", tables("") | {"server": {"host": "192.0.2.1"}})
    assert main(["check", "--config", config]) == 0
    assert "warning: no [server.clients.<name>]" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_fails_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "below")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"usage: broker {name}" in capsys.readouterr().out


def test_the_commands_are_listed_without_importing_any() -> None:
    script = (
        "import sys; from broker.__main__ import main; code = main(['--help']);"
        "slow = {'aiohttp', 'pydantic', 'phonenumbers', 'broker.cli'} & sys.modules.keys();"
        "sys.exit(code or len(slow))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert not [name for name in COMMANDS if name not in done.stdout]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), ([], 2), (["nonsense"], 2), (["check", "-x"], 2)]
)
def test_a_wrong_command_line_is_code_2(arguments: list[str], code: int) -> None:
    assert main(arguments) == code
