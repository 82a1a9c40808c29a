"""What reaches the log: everything an operator needs, and nothing about a person."""

from __future__ import annotations

import ast
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

import broker
from broker import logs
from broker.domain.errors import TemporaryError
from broker.logs.redaction import TABLE, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBER, EMAIL, WORD = "+4915112345678", "erika@example.com", "c4n4ry-w0rd"
Lines = list[dict[str, Any]]


class Stream(io.BytesIO):
    @property
    def lines(self) -> Lines:
        return [orjson.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    logs.configure(stream)
    return stream


log = structlog.get_logger("broker.test")


def test_a_line_is_one_json_object_with_time_level_and_logger(stream: Stream) -> None:
    log.info("decided", call="1234567890", route="premium", ms=12.5, crm=["shop"], late=None)
    [line] = stream.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "decided",
        "level": "info",
        "logger": "broker.test",
        "call": "1234567890",
        "route": "premium",
        "ms": 12.5,
        "crm": ["shop"],
        "late": None,
    }


@pytest.mark.parametrize("hash_key", [None, "h" * 16])
@pytest.mark.parametrize("key", sorted(key for key, rule in TABLE.items() if rule != Rule.PLAIN))
def test_no_canary_in_a_field_of_the_table_gets_out(key: str, hash_key: str | None) -> None:
    stream = Stream()
    logs.configure(stream, hash_key=hash_key)
    for canary in (NUMBER, NUMBER[1:], EMAIL, WORD, f"https://x.example/{WORD}?k={NUMBER}"):
        for name in (key, f"customer_{key}", key.upper()):
            log.info("event", **{name: canary})
            log.info("event", **{name: [canary]}, deeper={"a": [{name: canary}]})
    text = stream.getvalue().decode()
    assert len(stream.lines) == 30
    assert not [canary for canary in (NUMBER, NUMBER[1:], EMAIL, WORD) if canary in text]


def test_a_number_is_masked_or_hashed_always_in_the_same_way() -> None:
    masked, hashed = Stream(), Stream()
    logs.configure(masked)
    log.info("event", caller=NUMBER)
    assert masked.lines[0]["caller"] == "+49*****678"
    logs.configure(hashed, hash_key="h" * 16)
    log.info("event", caller=NUMBER, called="+49 151 12345678", to="+4915112345679")
    line = hashed.lines[0]
    assert line["caller"] == line["called"] != line["to"]
    assert line["caller"].startswith("h:")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"no answer for {NUMBER}.", "no answer for [number]."),
        ("call (513) 555-7611 now", "call [number] now"),
        ("030/23125 678", "[number]"),
        (f"<{EMAIL}> refused", "<[email]> refused"),
        ("10.20.30.40:8080 on 2026-11-20 took 1234 ms", None),
        ("3f2a9c00112233445566778899aabbcc", None),
    ],
)
def test_what_looks_personal_is_removed_from_any_other_text(
    text: str, shown: str | None, stream: Stream
) -> None:
    log.warning("event", detail=text)
    assert stream.lines[0]["detail"] == (shown or text)


def test_parts_may_have_any_name(stream: Stream) -> None:
    log.info("step", crms={"mail": "found", "customers": {"ms": 12}})
    assert stream.lines[0]["crms"] == {"mail": "found", "customers": {"ms": 12}}


def test_an_object_is_named_by_its_type_and_not_printed(stream: Stream) -> None:
    class Customer:
        def __repr__(self) -> str:
            return WORD

    log.info("event", who=Customer(), at={NUMBER: Customer()})
    assert stream.lines[0]["who"] == "<Customer>"
    assert stream.lines[0]["at"] == {"[number]": "<Customer>"}


def test_an_event_is_one_short_line_without_personal_data(stream: Stream) -> None:
    log.info(f"from {NUMBER}{'x' * 500}\n{WORD}")  # noqa: G004 - what must not happen
    assert stream.lines[0]["event"].startswith("from [number]")
    assert len(stream.lines[0]["event"]) == 200
    assert WORD not in stream.getvalue().decode()


def fails_with(error: BaseException) -> None:
    secret_local = WORD + EMAIL
    assert secret_local
    raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError(f"no {NUMBER} and {EMAIL}"), "no [number] and [email]"),
        (TemporaryError("the CRM answered 503"), "the CRM answered 503"),
        (OSError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (ValueError(f"invalid literal: {WORD}"), None),
        (KeyError(WORD), None),
        (UnicodeDecodeError("utf-8", WORD.encode(), 0, 1, WORD), None),
    ],
)
def test_an_error_is_told_by_type_place_and_harmless_text(
    error: BaseException, text: str | None, stream: Stream
) -> None:
    try:
        fails_with(error)
    except type(error):
        log.exception("work_failed")
    [described] = stream.lines[0]["exception"]
    assert described["type"] == type(error).__name__
    assert described.get("text") == text
    assert described["at"][-1].endswith(" fails_with")
    out = stream.getvalue().decode()
    assert not [canary for canary in (NUMBER, EMAIL, WORD) if canary in out]


def test_causes_and_members_of_a_group_are_told_too(stream: Stream) -> None:
    try:
        try:
            fails_with(KeyError(WORD))
        except KeyError as error:
            raise ExceptionGroup("two", [OSError("gone"), ValueError(WORD)]) from error
    except ExceptionGroup:
        log.exception("work_failed")
    group, cause = stream.lines[0]["exception"]
    assert [inner["type"] for inner in group["errors"]] == ["OSError", "ValueError"]
    assert cause["type"] == "KeyError"
    assert WORD not in stream.getvalue().decode()


def test_an_error_while_handling_another_is_told_with_it(stream: Stream) -> None:
    try:
        try:
            fails_with(OSError("gone"))
        finally:
            fails_with(RuntimeError("and worse"))
    except RuntimeError:
        log.exception("work_failed")
    assert [error["type"] for error in stream.lines[0]["exception"]] == ["RuntimeError", "OSError"]


def standard(name: str) -> Callable[..., None]:
    return logging.getLogger(name).error


def test_a_library_is_heard_through_the_same_chain(stream: Stream) -> None:
    try:
        fails_with(RuntimeError(f"{EMAIL} hung up"))
    except RuntimeError:
        standard("aiohttp.server")("Error handling request from %s", WORD, exc_info=True)
    standard("mail.log")("%r: RCPT TO %s", WORD, EMAIL)
    standard("asyncio")(f"Task of {NUMBER} was never retrieved\nfuture: {WORD}")
    logging.getLogger("asyncio").error(ValueError(WORD))
    logging.getLogger("aiohttp.access").info("GET /v1/calls/%s", WORD)
    assert [(line["logger"], line["event"]) for line in stream.lines] == [
        ("aiohttp.server", "Error handling request from %s"),
        ("mail.log", "%r: RCPT TO %s"),
        ("asyncio", "Task of [number] was never retrieved"),
        ("asyncio", "ValueError"),
    ]
    assert stream.lines[0]["exception"][0]["text"] == "[email] hung up"
    out = stream.getvalue().decode()
    assert not [canary for canary in (NUMBER, EMAIL, WORD) if canary in out]


def test_a_full_disk_or_a_closed_pipe_does_not_reach_the_call() -> None:
    class Full(io.RawIOBase):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    closed = io.BytesIO()
    closed.close()
    for broken in (Full(), closed):
        logs.configure(broken)  # type: ignore[arg-type]
        log.error("event")


def test_every_event_of_the_broker_is_a_fixed_text() -> None:
    """So that nothing a caller sent can stand in it."""
    root = Path(broker.__file__).parent
    loose = [
        f"{path.relative_to(root)}:{call.lineno}"
        for path in root.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"log", "_log", "logger"}
        and call.func.attr != "log"
        and not (call.args and isinstance(call.args[0], ast.Constant))
    ]
    assert loose == []


def test_a_library_that_repeats_itself_gets_ten_lines_a_second() -> None:
    now = 0.0
    stream = Stream()
    logs.configure(stream, clock=lambda: now)
    server = logging.getLogger("aiohttp.server")
    for number in range(1000):
        server.error("Error handling request from %s", number)
    server.error("something else")
    assert len(stream.lines) == 11
    now = 1.0
    server.error("Error handling request from %s", 1001)
    assert stream.lines[-1]["left_out"] == 990
