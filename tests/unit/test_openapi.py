"""The served description is valid OpenAPI 3.1 and says of every route what really happens."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.web.openapi import describe
from broker.web.problems import CODES
from broker.web.routes import ROUTES, Route


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe(ROUTES, "1.2.3")


def test_description_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_route_is_described_with_its_answers_and_refusals(
    document: dict[str, Any], route: Route
) -> None:
    operation = document["paths"][route.path][route.method.lower()]
    expected = {str(status) for status, _ in route.answers}
    expected |= {str(CODES[code].status) for code in route.refusals}
    assert set(operation["responses"]) == expected
    assert bool(operation["security"]) == (route.scope is not None)


def test_body_of_a_call_start_names_the_fields_an_automation_sends(
    document: dict[str, Any],
) -> None:
    schema = document["components"]["schemas"]["CallStartBody"]
    assert schema["required"] == ["call_id"]
    assert {"from", "to", "session_id", "parent_id", "direction"} <= set(schema["properties"])
