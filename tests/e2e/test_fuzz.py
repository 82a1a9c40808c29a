"""Requests made up from the served OpenAPI and out of nothing: none makes the broker fail.

FUZZ_REQUESTS says how many of each; the long run sends 10,000 in all.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import BrokerProcess
    from tests.tally import Tally

NOT_OURS = [ignored_auth, positive_data_acceptance]
"""No key is configured here; and no description can say that a form has no field twice."""
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "240"))
ANSWERS_WITHIN_S = 20
SHED = {"overloaded", "store_unavailable"}
PATHS = ["/v1/calls", "/v1/calls/a/reference", "/v1/calls/_/end", "/v1/calls/a/tracking-email"]
TYPES = ["application/json", "application/x-www-form-urlencoded", "text/plain", ""]
FIELDS = ["call_id", "session_id", "from", "to", "parent_id", "direction", "anonymous", "reference"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON, max_size=8)


def check(response: requests.Response) -> None:
    if response.status_code >= 500:
        assert response.status_code == 503, response.text
        assert response.json()["code"] in SHED
    if response.status_code >= 400 and "text/html" not in response.headers["Content-Type"]:
        assert response.headers["Content-Type"] == "application/problem+json"


def often(count: int) -> settings:
    return settings(
        max_examples=count,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def from_the_description(url: str) -> int:
    """Valid and invalid requests to every route; how many were sent."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations: list[Any] = [result.ok() for result in cast("Any", schema).get_all_operations()]
    sent = 0
    for operation in operations:

        @often(max(1, REQUESTS // len(operations)))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal sent
            sent += 1
            response = case.call(timeout=ANSWERS_WITHIN_S, allow_redirects=False)
            if response.status_code != 503:  # shed, or not ready
                case.validate_response(response, excluded_checks=NOT_OURS)

        ask()
    return sent


def out_of_nothing(url: str) -> None:
    with requests.Session() as http:

        @often(REQUESTS)
        @given(
            path=st.sampled_from(PATHS),
            kind=st.sampled_from(TYPES),
            body=BODIES | st.binary(max_size=500) | JSON,
            key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126)),
        )
        def ask(path: str, kind: str, body: Any, key: str | None) -> None:
            headers = {"Content-Type": kind} | ({} if key is None else {"Idempotency-Key": key})
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            check(http.post(url + path, raw, headers=headers, timeout=ANSWERS_WITHIN_S))

        ask()


def test_requests_made_from_the_description_get_what_it_says(
    serve: Callable[..., BrokerProcess], tally: Tally
) -> None:
    broker = serve()
    sent = from_the_description(broker.base_url)
    assert sent >= REQUESTS / 2
    assert complaints(broker) == []
    tally.add(requests=sent)


def test_requests_made_out_of_nothing_are_answered(
    serve: Callable[..., BrokerProcess], tally: Tally
) -> None:
    broker = serve()
    out_of_nothing(broker.base_url)
    assert complaints(broker) == []
    tally.add(requests=REQUESTS)


def complaints(broker: BrokerProcess) -> list[str]:
    """The log lines that speak of a fault of ours."""
    lines = broker.program.said.splitlines()
    return [line for line in lines if '"exception"' in line or "Traceback" in line]
