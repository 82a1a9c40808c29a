"""A real Tryton of one test module: SQLite, the module party, and people put in by its own API."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.testing.people import Person

DATABASE = "crm"
KEY = "the-brokers-own-k3y"
PASSWORD = "admin-pw"
START_S = 30.0
"""For a busy machine; it takes two or three."""
TIERS = {True: "VIP", False: "Basic"}


def tryton_programs() -> Path:
    """The folder of `trytond`; skips the test where there is none."""
    found = shutil.which("trytond-admin", path=os.environ.get("BROKER_TEST_TRYTON"))
    if found is None:
        pytest.skip("no Tryton in BROKER_TEST_TRYTON: a venv's bin, tests/requirements-tryton.txt")
    return Path(found).parent


class TrytonServer:
    """Made, started and filled by `start`; blocks while it answers.

    Its user `broker` has no groups and the application key KEY; `admin` may do everything.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._programs = programs
        self._config = folder / "trytond.conf"
        self._config.write_text(
            f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{self.port}\n"
        )
        (folder / f"{DATABASE}.sqlite").touch()
        self._process: subprocess.Popen[bytes] | None = None
        self._session = ""
        self._ids: dict[str, int] = {}

    def start(self, people: Iterable[Person]) -> None:
        password = self._config.with_name("password")
        password.write_text(PASSWORD)
        subprocess.run(
            [
                *self._command("trytond-admin"),
                *("-u", "party", "--activate-dependencies", "--email", "admin@example.com"),
            ],
            env={**os.environ, "TRYTONPASSFILE": str(password)},
            check=True,
            capture_output=True,
        )
        log = self._config.with_name("log").open("wb")
        with log:
            self._process = subprocess.Popen(
                self._command("trytond"), stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()
        user, session, _ = self._rpc("common.db.login", "admin", {"password": PASSWORD}, "en")
        self._session = base64.b64encode(f"admin:{user}:{session}".encode()).decode()
        self._fill(people)

    def _command(self, program: str) -> list[str]:
        return [str(self._programs / program), "-c", str(self._config), "-d", DATABASE]

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            try:
                self._ask("GET", f"/{DATABASE}/", {}, {})
            except OSError:
                assert time.monotonic() < until, self._config.with_name("log").read_text()
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def hang(self) -> None:
        """SIGSTOP: it takes connections and answers nothing, until `wake`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def admin(self, method: str, *arguments: object) -> Any:
        """What an administrator's client calls: `party.party.search`."""
        return self._rpc(f"model.{method}", *arguments, {})

    def _rpc(self, method: str, *arguments: object) -> Any:
        body = {"id": 1, "method": method, "params": arguments}
        headers = {"Authorization": f"Session {self._session}"} if self._session else {}
        status, answer = self._ask("POST", f"/{DATABASE}/rpc/", body, headers)
        assert status == 200, answer
        assert "result" in answer, answer
        return answer["result"]

    def _ask(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            kind = {"Content-Type": "application/json"}
            connection.request(method, path, orjson.dumps(body), {**kind, **headers})
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        return answer.status, orjson.loads(raw) if raw[:1] in b"[{" else raw

    def _fill(self, people: Iterable[Person]) -> None:
        (user,) = self.admin("res.user.create", [{"name": "Broker", "login": "broker"}])
        key = {"user": user, "application": "rest", "key": KEY}
        (self.key_id,) = self.admin("res.user.application.create", [key])
        (self._ids["DE"],) = self.admin(
            "country.country.create", [{"name": "Germany", "code": "DE"}]
        )
        names = list(TIERS.values())
        ids = self.admin("party.category.create", [{"name": name} for name in names])
        self._ids |= dict(zip(names, ids, strict=True))
        for lang in self.admin("ir.lang.search_read", [], 0, None, None, ["code"]):
            self._ids[lang["code"]] = lang["id"]
        newest = 0
        for person in people:
            others = [{"name": "Somebody else"}] * (int(person.id) - newest - 1)
            if others:
                self.admin("party.party.create", others)
            newest = self.add(person)
            assert newest == int(person.id)

    def add(self, person: Person) -> int:
        """Creates a person as any client of the API would; his id."""
        categories = [self._ids[TIERS[person.premium]]] if person.premium is not None else []
        party = {
            "name": person.name,
            "code": person.reference,
            "lang": self._ids[person.language] if person.language else None,
            "addresses": [["create", [{"country": self._ids["DE"]}]]],
            "categories": [["add", categories]],
            "identifiers": [["create", [{"code": person.track_id}] if person.track_id else []]],
        }
        status, created = self._create("party.party", party)
        assert status == 200, created
        for number in person.phones:
            self._add_mechanism(created["id"], "phone", number)
        if person.email:
            self._add_mechanism(created["id"], "email", person.email)
        return int(created["id"])

    def _add_mechanism(self, party: int, kind: str, value: str) -> None:
        """What Tryton takes for no phone number can only be stored as free text."""
        mechanism = {"party": party, "type": kind, "value": value}
        status, answer = self._create("party.contact_mechanism", mechanism)
        if status == 400 and kind == "phone":
            status, answer = self._create("party.contact_mechanism", {**mechanism, "type": "other"})
        assert status == 200, answer

    def _create(self, model: str, values: Mapping[str, object]) -> tuple[int, Any]:
        """By the REST API, with the broker's own key."""
        path = f"/{DATABASE}/rest/model/{model}"
        return self._ask("POST", path, values, {"Authorization": f"Bearer {KEY}"})

    @property
    def notes(self) -> list[Any]:
        """Notes on parties, the oldest first."""
        order = [["id", "ASC"]]
        return list(self.admin("ir.note.search_read", [], 0, None, order, ["resource", "message"]))

    def forget_notes(self) -> None:
        self.admin("ir.note.delete", [note["id"] for note in self.notes])
