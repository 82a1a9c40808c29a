"""The Postman collection is complete and speaks of this broker, this sandbox and this fixture."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.sandbox import credentials
from broker.web.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
POSTMAN = ROOT / "postman"
FILES = sorted(POSTMAN.glob("*.json"))
COLLECTION = json.loads((POSTMAN / "call-session-broker.postman_collection.json").read_text())
DEMO_DATA = (ROOT / "docs" / "demo-data.md").read_text()
MARK = " [sandbox]"

VARIABLE = re.compile(r"{{(\w+)}}")
ADDRESS = re.compile(
    r"{{(?:broker|sandbox|platform)_url}}(?:/[\w{}%.-]+)+(?:\?[\w{}&=.-]+)?", re.ASCII
)
LOOKS_SECRET = re.compile(r"(?=[\w+=-]*[0-9])(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Request:
    """One request and the folders around it."""

    folders: tuple[str, ...]
    item: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.item["request"]["method"])

    @property
    def url(self) -> str:
        return str(self.item["request"]["url"])

    @property
    def path(self) -> str:
        return VARIABLE.sub("x", self.url.removeprefix("{{broker_url}}").partition("?")[0])

    def script(self, listen: str) -> str:
        events = [event for event in self.item["event"] if event["listen"] == listen]
        return "\n".join(line for event in events for line in event["script"]["exec"])


def _requests(item: dict[str, Any], *folders: str) -> Iterator[Request]:
    if "request" in item:
        yield Request(folders, item)
    for inner in item.get("item", ()):
        yield from _requests(inner, *folders, *([item["name"]] if "name" in item else []))


REQUESTS = list(_requests(COLLECTION))
TO_THE_BROKER = [r for r in REQUESTS if r.url.startswith("{{broker_url}}/")]


def _environment(name: str) -> dict[str, dict[str, Any]]:
    content = json.loads((POSTMAN / f"{name}.postman_environment.json").read_text())
    return {value["key"]: value for value in content["values"]}


def _route(request: Request) -> str | None:
    """The served route that answers this request."""
    for route in ROUTES:
        pattern = re.sub(r"{\w+}", "[^/]+", route.path)
        if route.method == request.method and re.fullmatch(pattern, request.path):
            return f"{route.method} {route.path}"
    return None


def test_every_served_route_has_a_request_that_is_no_refusal() -> None:
    played = {_route(request) for request in TO_THE_BROKER if "Refusals" not in request.folders}
    assert played == {f"{route.method} {route.path}" for route in ROUTES}


def test_every_request_has_tests_of_its_status_and_of_its_content() -> None:
    parts = ("pm.test(", "pm.response.to.have.status(", "pm.expect(")
    tests = {request.item["id"]: request.script("test") for request in REQUESTS}
    assert [name for name, test in tests.items() if not all(part in test for part in parts)] == []


def test_addresses_are_well_formed_and_begin_with_a_variable() -> None:
    assert [request.url for request in REQUESTS if not ADDRESS.fullmatch(request.url)] == []


def test_ids_are_readable_and_unique() -> None:
    ids = Counter(request.item["id"] for request in REQUESTS)
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_no_two_requests_of_a_folder_share_a_name() -> None:
    names = Counter((request.folders, request.item["name"]) for request in REQUESTS)
    assert [name for name, count in names.items() if count > 1] == []


def test_what_needs_the_sandbox_is_marked_so() -> None:
    unmarked = [r for r in REQUESTS if MARK not in " / ".join((*r.folders, r.item["name"]))]
    assert [r.item["id"] for r in unmarked if "{{sandbox_url}}" in r.url] == []


def test_every_variable_is_declared_where_it_is_used() -> None:
    declared = {variable["key"] for variable in COLLECTION["variable"]} | set(_environment("real"))
    for request in REQUESTS:
        set_before = set(re.findall(r"variables\.set\('(\w+)'", request.script("prerequest")))
        used = set(VARIABLE.findall(json.dumps(request.item["request"])))
        assert used <= declared | set_before, request.item["id"]


def test_both_environments_have_the_same_variables() -> None:
    assert list(_environment("real")) == list(_environment("sandbox"))


def test_the_real_environment_comes_without_secrets_and_hides_what_is_filled_in() -> None:
    for key, value in _environment("real").items():
        if key not in {"broker_url", "sandbox_url", "platform_url"}:
            assert (value["value"], value["type"]) == ("", "secret"), key
    assert _environment("real")["sandbox_url"]["value"] == "", "or [sandbox] would be sent"


def test_the_sandbox_environment_has_the_public_credentials_of_the_sandbox() -> None:
    values = {key: value["value"] for key, value in _environment("sandbox").items()}
    assert values["platform_username"] == credentials.USERNAME
    assert values["platform_password"] == credentials.PASSWORD
    assert values["broker_key"] == values["platform_token"] == ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_looks_like_a_secret(file: Path) -> None:
    assert LOOKS_SECRET.findall(UUID.sub("", file.read_text())) == []


def test_credentials_are_variables() -> None:
    auths = [COLLECTION["auth"], *(r.item["request"].get("auth", {}) for r in REQUESTS)]
    tokens = [entry["value"] for auth in auths for entry in auth.get("bearer", ())]
    assert set(tokens) == {"{{broker_key}}", "{{platform_token}}"}
    for request in REQUESTS:
        form = request.item["request"].get("body", {}).get("urlencoded", ())
        for field in form:
            if field["key"] in {"username", "password", "client_secret"}:
                assert VARIABLE.fullmatch(field["value"])
        keys = {header["key"].lower() for header in request.item["request"].get("header", ())}
        assert not keys & {"authorization", "x-api-key", "cookie"}


def test_numbers_and_references_are_those_of_the_demo_data() -> None:
    known = re.findall(r"`\+?([0-9]{7,})`", DEMO_DATA)
    used = set(re.findall(r"(?<![\w-])\+?([0-9]{7,})", json.dumps(COLLECTION)))
    assert used
    assert [number for number in used if not any(k.startswith(number) for k in known)] == []


def test_every_scripted_call_is_a_folder_with_its_persona() -> None:
    rows = re.findall(r"^\| ([0-9]+ [^|]+?) \| (?:`(\w+)`|none)", DEMO_DATA, re.MULTILINE)
    scripted = [folder for folder in COLLECTION["item"] if folder["name"].endswith(MARK)]
    names = [folder["name"].removesuffix(MARK) for folder in scripted]
    assert [name.casefold() for name in names] == [name.casefold() for name, _ in rows]
    for folder, (_, persona) in zip(scripted, rows, strict=True):
        order = json.loads(folder["item"][0]["request"]["body"]["raw"])
        assert order.get("anonymous", False) is (persona == "")
        assert order["persona"] == persona or order["anonymous"]


def test_the_readme_says_what_each_folder_proves() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (POSTMAN / "README.md").read_text(), re.MULTILINE)
    for folder in COLLECTION["item"]:
        assert folder["name"].removesuffix(MARK) in rows
