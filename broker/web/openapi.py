"""The OpenAPI 3.1 description, generated from the route table and the models that validate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from broker.web.problems import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from broker.web.routes import Route

_REF = "#/components/schemas/{model}"
_MOST = 999_999
_QUERY: dict[str, tuple[dict[str, Any], str]] = {
    "wait_ms": (
        {"type": "integer", "minimum": 0, "maximum": _MOST},
        "Answer only when the step is decided and written, or after this long.",
    ),
    "state": ({"type": "string", "enum": ["active"]}, "Only live calls can be listed."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": _MOST}, "More than 200 means 200."),
    "cursor": (
        {"type": "string", "pattern": r"^[0-9]{1,15}-[A-Za-z0-9_-]{1,64}$"},
        "The `cursor` of the page before.",
    ),
    "m": (
        {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,64}$"},
        "Which hand-over of which message it is; the broker put it into the address.",
    ),
    "hub.mode": ({"type": "string", "enum": ["subscribe"]}, "As Meta sends it."),
    "hub.verify_token": ({"type": "string"}, "The channel's `verify_token`."),
    "hub.challenge": ({"type": "string", "maxLength": 256}, "Comes back as it is."),
}
_KEYS = ("key", "api_key", "basic", "query_key")
_NEED_BODY = {"/v1/calls", "/v1/erasures", "/v1/cache/invalidations"}
_ID = r"^[A-Za-z0-9_-]{1,64}$"


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    bodies = {route.body for route in routes if route.body is not None}
    answers = {
        model for route in routes for _, model in route.answers if not isinstance(model, str)
    }
    wanted = [(m, "validation") for m in _sorted(bodies)] + [
        (m, "serialization") for m in _sorted(answers)
    ]
    schemas = models_json_schema(wanted, ref_template=_REF)[1]["$defs"]  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Call-session broker",
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _problem_schema()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The key as the password; the user name is not looked at.",
                },
                "query_key": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "key",
                    "description": "Only for clients with allow_query.",
                },
            },
        },
    }


def _sorted(models: set[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)


def _operation(route: Route) -> dict[str, Any]:
    name = re.sub(r"[^a-z]+", "_", f"{route.method} {route.path}".lower()).strip("_")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route),
        "security": [{name: []} for name in _KEYS] if route.scope else [],
    }
    if route.body is not None:
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        operation["requestBody"] = {
            "required": route.path in _NEED_BODY,
            "content": {
                "application/json": {"schema": schema},
                "application/x-www-form-urlencoded": {"schema": schema},
            },
        }
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": _ID},
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name in route.query
        for schema, text in [_QUERY[name]]
    ]


def _responses(route: Route) -> dict[str, Any]:
    schemas: dict[int, list[dict[str, Any]]] = {}
    media: dict[int, str] = {}
    for status, model in route.answers:
        if isinstance(model, str):
            media[status] = model
        else:
            schemas.setdefault(status, []).append({"$ref": _REF.format(model=model.__name__)})
    responses: dict[str, Any] = {}
    for status, kinds in schemas.items():
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        content = {"application/json": {"schema": schema}}
        responses[str(status)] = {"description": route.summary, "content": content}
    for status, kind in media.items():
        responses[str(status)] = {"description": route.summary, "content": {kind: {}}}
    for status, codes in _by_status(route.refusals).items():
        responses[str(status)] = {
            "description": "; ".join(f"`{code}`: {CODES[code].title}" for code in codes),
            "content": {
                "application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}
            },
        }
    return responses


def _by_status(codes: Sequence[str]) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = {}
    for code in codes:
        grouped.setdefault(CODES[code].status, []).append(code)
    return grouped


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457; `code` is stable, `detail` is for people.",
        "required": ["title", "status", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": sorted(CODES)},
            "detail": {"type": "string"},
        },
    }
