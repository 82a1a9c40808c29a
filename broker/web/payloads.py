"""Bytes of an automation's request to what happened, with nothing hostile left in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from broker.domain.call import checked_id
from broker.domain.customer import clean
from broker.domain.deflection import Wish
from broker.domain.errors import BadInputError
from broker.domain.offering import Asked
from broker.ports import store_answers_within
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

STORE_ANSWERS_WITHIN_S = 0.15
"""All of the store's answers for one request, so that a refusal comes within 200 ms."""
_DEPTH, _KEYS, _CALL_DATA = 16, 200, 50
Model = TypeVar("Model", bound=BaseModel)
_OURS = {"key", "wait_ms"}
_FORM = "application/x-www-form-urlencoded"
_PLACEHOLDER = re.compile(r"\{.*\}", re.DOTALL)


def _text(value: Any) -> Any:
    """Numbers and references often come as JSON integers; booleans are no text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", strict=True)]
Text = Annotated[str, BeforeValidator(_text), Field(max_length=256)]


Figure = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Quantity = Annotated[int, Field(ge=0, le=1_000_000)]
Key = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=64)]
Branch = Annotated[str, BeforeValidator(_text), Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _flat(value: Any) -> Any:
    """`user` and `ticket` may be objects of their own; the keys say so then: `user.name`."""
    if not isinstance(value, dict):
        return value
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat |= {f"{name}.{key}": one for key, one in item.items()}
        else:
            flat[name] = item
    return {key: text for key, one in flat.items() if (text := _cleaned(one)) is not None}


def _cleaned(value: Any) -> str | None:
    return clean(value if isinstance(value, str) else _scalar(value))


Context = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")], str],
    BeforeValidator(_flat),
    Field(max_length=50),
]


class CallBody(BaseModel):
    """What an automation may tell about a call; anything else is kept as call data."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    call_id: Id | None = Field(None, description="The platform's id of this leg.")
    session_id: Id | None = Field(None, description="The id of the call session, if known.")
    from_: Text | None = Field(None, alias="from", description="The caller's number.")
    to: Text | None = Field(None, description="The number that was dialled.")
    parent_id: Id | None = Field(None, description="Set on child legs: the parent's call id.")
    direction: Text | None = Field(None, description="`outbound` marks a child leg.")
    agent_id: Id | None = Field(None, description="The agent of a child leg.")
    anonymous: bool | None = Field(None, description="The caller withheld his number.")
    reference: Text | None = Field(None, description="What the caller typed.")

    def event(self, call_id: str | None = None) -> CallStarted:
        """What happened; BadInputError `missing_field` without any call id."""
        call = call_id or self.call_id
        if call is None:
            raise BadInputError("call_id is required", code="missing_field")
        extra = {
            str(key)[:64]: text
            for key, value in list((self.model_extra or {}).items())[:_CALL_DATA]
            if (text := clean(value if isinstance(value, str) else _scalar(value)))
        }
        return CallStarted(
            call_id=call,
            session_id=self.session_id,
            from_=self.from_,
            to=self.to,
            parent_id=None if self.parent_id == call else self.parent_id,
            outbound=(self.direction or "").lower() == "outbound",
            agent_id=self.agent_id,
            anonymous=bool(self.anonymous),
            extra=extra,
        )


class CallStartBody(CallBody):
    """A call-start automation."""

    call_id: Id = Field(description="The platform's id of this leg.")


class ReferenceBody(CallBody):
    """What the caller typed. Missing or malformed is a failed try, not an error."""


class EndBody(CallBody):
    """The call ended."""

    disposition: Text | None = Field(None, description="How it ended on the phone, in one word.")


class OfferBody(CallBody):
    """Should this caller be offered a channel now? What the platform tells may be left out."""

    branch: Branch | None = Field(None, description="Where in the call flow he is.")
    reason: Text | None = Field(None, description="Why he calls, in a word.")
    ewt_seconds: Figure | None = Field(None, description="The expected wait for an agent.")
    agents_available: Quantity | None = Field(None, description="How many agents are free.")
    prompts_heard: Quantity | None = Field(None, description="How many prompts he has heard.")

    def asked(self) -> Asked:
        return Asked(
            self.branch, self.reason, self.ewt_seconds, self.agents_available, self.prompts_heard
        )


class ChoiceBody(CallBody):
    """The key that the caller pressed."""

    key: Key = Field(description="0-9, *, # or a letter; what is not bound is `invalid`.")
    branch: Branch | None = Field(None, description="Where in the call flow he pressed it.")


class _Wish(BaseModel):
    """What a deflection may ask for."""

    channel: Text | None = Field(None, description="A configured channel; default: their order.")
    template: Text | None = Field(None, description="A configured template; default: the branch's.")
    branch: Branch | None = Field(None, description="Where in the call flow it was wished for.")
    to: Text | None = Field(None, description="A number or an email address instead of his own.")
    context: Context | None = Field(
        None, description="What the other side shall know: texts, also under `user` and `ticket`."
    )

    def wish(self, by: str) -> Wish:
        """The deflection that is wished for; `by` says how it was consented to."""
        context = self.context or {}
        return Wish(by, self.channel, self.template, self.branch, self.to, context)


class DeflectBody(_Wish, CallBody):
    """The caller wants to go on in writing: this request is his consent."""

    to: Text | None = Field(None, description="A number or an email address instead of his own.")


class DeflectionBody(_Wish):
    """Somebody wants to be written to, without a call: this request is his consent."""

    model_config = ConfigDict(extra="ignore")

    to: Text = Field(description="His number, best in E.164, or his email address.")


class ErasureBody(BaseModel):
    """Who is to be erased: exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["number"]}, {"required": ["email"]}]}
    )

    number: Text | None = Field(None, description="A telephone number, best in E.164.")
    email: Text | None = Field(None, description="An email address.")


class InvalidationBody(BaseModel):
    """Which customer of which CRM changed: exactly one of `number` and `customer_id`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["number"]}, {"required": ["customer_id"]}]}
    )

    crm: Text | None = Field(None, description="The CRM's configured name.")
    number: Text | None = Field(None, description="One of his numbers, best in E.164.")
    customer_id: Text | None = Field(None, description="His id in that CRM.")


async def read_body(
    request: web.Request, fields: Mapping[str, str], *, query: bool, limit: int
) -> dict[str, Any]:
    """The request's fields under our names, absent ones left out.

    JSON and forms carry the same fields; with `query` an empty body means the query string.
    BadInputError: `encoding`, `too_large`, `invalid_body`.
    """
    raw = await whole_body(request, limit)
    if not raw.strip() and query:
        content: dict[str, Any] = {k: v for k, v in request.query.items() if k not in _OURS}
    elif request.content_type == _FORM and not raw.lstrip().startswith(b"{"):
        # curl and some IVRs call every body a form, so JSON is told by its brace.
        content = _form(raw)
    else:
        content = _json(raw)
    _check_text(content)
    return _renamed(content, fields)


async def whole_body(request: web.Request, limit: int) -> bytes:
    """The body, however long its way; the store's time for this request begins when it is here.

    BadInputError: `encoding`, `too_large`. ConnectionError: the client is gone.
    """
    _refuse_unreadable(request, limit)
    arriving = request.can_read_body
    try:
        raw = await request.read()
    except RuntimeError:
        if request.transport is not None:
            raise
        # aiohttp's word for a connection that was lost before anybody began to read.
        raise ConnectionResetError("the client is gone") from None
    if arriving:
        store_answers_within(STORE_ANSWERS_WITHIN_S)
    return raw


def _refuse_unreadable(request: web.Request, limit: int) -> None:
    """By its headers alone, before the body arrives."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadInputError("send the body unencoded", code="encoding")
    if (request.content_length or 0) > limit:
        raise BadInputError(f"more than {limit} bytes", code="too_large")


def parse(model: type[Model], content: dict[str, Any]) -> Model:
    """`content` as `model`; BadInputError naming the fields that are wrong, never their values."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise _fault(faults) from None


def _fault(faults: Any) -> BadInputError:
    names = sorted({".".join(map(str, fault["loc"])) for fault in faults})
    if any(fault["type"] == "missing" for fault in faults):
        return BadInputError("required: " + ", ".join(names), code="missing_field")
    ids = {"call_id", "session_id", "parent_id", "agent_id"}
    if ids & set(names):
        return BadInputError(", ".join(names) + " must match [A-Za-z0-9_-]{1,64}", "invalid_id")
    return BadInputError("wrong type or too long: " + ", ".join(names))


def call_id_of(request: web.Request, content: dict[str, Any]) -> str:
    """The id in the address, or the body's where the address says `_`."""
    in_path = request.match_info["call_id"]
    if in_path != "_":
        return checked_id(in_path)
    in_body = content.get("call_id")
    if in_body is None:
        raise BadInputError("call_id is required in the body", code="missing_field")
    return checked_id(in_body if isinstance(in_body, str) else "")


def _form(raw: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_KEYS)
    except (UnicodeDecodeError, ValueError):
        raise BadInputError("the form cannot be read") from None
    return _once(pairs)


def _json(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        content = _DECODER.decode(raw.decode("utf-8-sig"))
    except BadInputError:
        raise
    except (ValueError, RecursionError):
        raise BadInputError("the body is no JSON") from None
    if not isinstance(content, dict):
        raise BadInputError("the body must be a JSON object")
    _check_depth(content)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict; a name that comes twice would mean two things."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise BadInputError("a field occurs twice")
    if len(content) > _KEYS:
        raise BadInputError(f"more than {_KEYS} fields")
    return content


def _check_text(content: dict[str, Any]) -> None:
    """Half surrogates and integers beyond 64 bits are legal JSON, but no text and no number."""
    try:
        orjson.dumps(content)
    except TypeError:
        raise BadInputError("a value is no text or too large a number") from None


def _no_constant(name: str) -> Any:
    raise BadInputError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
"""Made once: `json.loads` would make it anew for every body."""


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > _DEPTH:
        raise BadInputError(f"nested deeper than {_DEPTH}")
    if isinstance(value, dict):
        for item in value.values():
            _check_depth(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)


def _renamed(content: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Our field names instead of the IVR's; absent values gone."""
    ours: dict[str, Any] = {}
    consumed: set[str] = set()
    for name, theirs in fields.items():
        value = _at(content, theirs)
        consumed.add(theirs.partition(".")[0])
        if not _absent(value):
            ours[name] = value
    for name, value in content.items():
        if name not in consumed and name not in ours and not _absent(value):
            ours[name] = value
    return ours


def _at(content: Any, path: str) -> Any:
    """The value at a dotted path (Amazon Connect nests its fields), or None."""
    if isinstance(content, dict) and path in content:
        return content[path]
    for key in path.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _absent(value: Any) -> bool:
    """Platforms send a value that does not exist as empty, null or the unreplaced placeholder."""
    if value is None:
        return True
    return isinstance(value, str) and (
        not value.strip() or _PLACEHOLDER.fullmatch(value.strip()) is not None
    )


def _scalar(value: Any) -> str | None:
    return str(value) if isinstance(value, bool | int | float) else None
