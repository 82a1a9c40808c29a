"""The vendors' own OpenAPI files as judges of what we send; `$BROKER_SPECS` says where they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
import yaml
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

if TYPE_CHECKING:
    from broker.testing.scripted_server import Asked

HOST = "http://vendor.test"


@dataclass
class _Request:
    """What openapi-core wants to know of a request."""

    method: str
    path: str
    body: bytes
    content_type: str
    parameters: RequestParameters
    host_url: str = HOST
    path_pattern: str | None = None


@dataclass(frozen=True)
class Spec:
    """One vendor's file."""

    core: OpenAPI

    def forbids(self, asked: Asked) -> str | None:
        """Why the file does not allow this request; None if it does."""
        request = _Request(
            asked.method.lower(),
            unquote(asked.path),
            asked.body,
            asked.headers.get("Content-Type", "application/json").partition(";")[0],
            RequestParameters(
                query=ImmutableMultiDict(asked.query), header=Headers(dict(asked.headers))
            ),
        )
        try:
            self.core.validate_request(request)
        except OpenAPIError as error:
            return f"{asked.line}: {type(error).__name__}: {error.__cause__ or error}"
        return None


@lru_cache
def spec(name: str, prefix: str = "") -> Spec | None:
    """The file `name` in `$BROKER_SPECS`; None if there is none on this machine.

    `prefix` stands in our URLs before the file's paths, as its server URL does. Credentials are the
    fake's own business, and many files get them wrong.
    """
    folder = os.environ.get("BROKER_SPECS")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        return None
    raw = path.read_bytes()
    document: dict[str, Any] = orjson.loads(raw) if path.suffix == ".json" else yaml.safe_load(raw)
    document["servers"] = [{"url": HOST + prefix}]
    document.pop("security", None)
    for operations in document["paths"].values():
        operations.pop("servers", None)
        for operation in operations.values():
            if isinstance(operation, dict):
                operation.pop("security", None)
                operation.pop("servers", None)
    return Spec(OpenAPI.from_dict(document))
