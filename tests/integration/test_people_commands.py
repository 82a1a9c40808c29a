"""`broker opt-outs` and `broker consents`, on a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker.__main__ import main
from broker.domain.consents import Consent
from broker.domain.guards import Guards
from broker.stores.connection import Store, open_store
from broker.stores.ledger import RedisLedger
from broker.testing.fake_clock import SetClock
from broker.testing.guards_kit import queued
from broker.testing.ledger_kit import call

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = """
[platform]
driver = "answer"
[crm.shop]
adapter = "csv"
options = { path = "customers.csv", region = "DE" }
[lookup]
default_region = "DE"
"""
MOBILE, EMAIL = "+4915112345678", "ada@example.com"


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BROKER_")]:
        monkeypatch.delenv(name)


def _written(folder: Path, store: str) -> str:
    (folder / "customers.csv").write_text("id,phone,reference,email,premium,track_id\n")
    path = folder / "broker.toml"
    path.write_text(f"{PLAIN}[store]\n{store}\n")
    return str(path)


@pytest.fixture
def config(tmp_path: Path, redis_url: str, prefix: str) -> str:
    return _written(tmp_path, f'url = "{redis_url}"\nprefix = "{prefix}"')


def test_person_is_opted_out_by_all_that_was_named_until_he_is_removed(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(action: str, *words: str) -> str:
        assert main(["opt-outs", action, "--config", config, *words]) == 0
        return capsys.readouterr().out.strip()

    assert told("check", "--number", MOBILE) == "may be written to"
    assert told("add", "--number", "0151 12345678", "--email", f" {EMAIL.upper()}") == "opted out"
    assert told("check", "--number", MOBILE) == "opted out"
    assert told("check", "--email", EMAIL) == "opted out"
    assert told("remove", "--number", MOBILE) == "may be written to"
    assert told("check", "--number", MOBILE, "--email", EMAIL) == "opted out"


@pytest.mark.parametrize(
    "words", [[], ["--number", "200"], ["--email", "ada"], ["--number", "anonymous"]]
)
def test_whom_it_is_about_has_to_be_clear(
    config: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["opt-outs", "add", "--config", config, *words]) == 2
    assert "broker: " in capsys.readouterr().err


def test_consents_are_exported_as_lines_from_their_time_on(
    config: str, redis_url: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    early = Consent(MOBILE, 1_798_761_600.0, "key", "sms", key="1", prompt_version="v1")
    late = Consent(EMAIL, 1_798_848_000.0, "request", "email")

    async def agree() -> None:
        store = Store(open_store(redis_url, command_timeout_s=5), prefix, timeout_s=5)
        clock = SetClock()
        ledger = RedisLedger(store, clock, lease_s=1.0, retention_s=60)
        for given in (early, late):
            record = (await ledger.accept(call(clock.time()))).record
            change = partial(queued, now=clock.time())
            await ledger.update(record.id, change, guards=Guards(consents=(given,)))
        await store.aclose()

    asyncio.run(agree())
    export = ["consents", "export", "--config", config]
    assert main(export) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Consent(**line) for line in lines] == [early, late]
    assert main([*export, "--since", "2027-01-02"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"number": EMAIL, "at": late.at, "source": "request"} | {
        "channel": "email"
    }
    assert main([*export, "--since", "yesterday"]) == 2


@pytest.mark.parametrize("words", [["opt-outs", "check", "--email", EMAIL], ["consents", "export"]])
def test_both_need_a_shared_store(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = _written(tmp_path, 'url = "memory://"')
    assert main([*words, "--config", config]) == 2
    assert "needs a shared store" in capsys.readouterr().err
