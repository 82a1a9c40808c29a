"""Guards as the script that saves a call takes them, and its refusals as errors."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from broker.domain.errors import ForbiddenSendError
from broker.domain.guards import Forbidden, in_conversation, opted_out
from broker.domain.people import hashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.consents import Consent
    from broker.domain.guards import Guards

_KEY, _COUNTER = -4, -5


def guard_params(guards: Guards | None, consents_kept_ms: int) -> dict[str, Any]:
    """The script's parameters of these guards; no key begins with the store's prefix yet."""
    if guards is None:
        return {}
    return {
        "unless": [key for key, _ in _bars(guards)],
        "counters": [
            (f"limit:{cap.limit.key}", cap.limit.most, round(cap.limit.window_s * 1000), cap.by)
            for cap in guards.caps
        ],
        "marks": [(mark.key, mark.value, round(mark.ttl_s * 1000)) for mark in guards.marks],
        "consents": [
            (hashed(one.number), round(one.at * 1000), line_of(one)) for one in guards.consents
        ],
        "kept": consents_kept_ms,
    }


def refuse_forbidden(guards: Guards | None, answer: Sequence[int]) -> None:
    """ForbiddenSendError, with what it was, if the script's answer says that one forbids it."""
    if guards is not None and answer[0] == _KEY:
        raise ForbiddenSendError(_bars(guards)[answer[2] - 1][1])
    if guards is not None and answer[0] == _COUNTER:
        raise ForbiddenSendError(guards.caps[answer[2] - 1].reason)


def line_of(consent: Consent) -> str:
    """A consent as one line of JSON, without what it does not have."""
    told = {name: value for name, value in asdict(consent).items() if value is not None}
    return orjson.dumps(told).decode()


def _bars(guards: Guards) -> list[tuple[str, Forbidden]]:
    """The keys that must not exist, each with what it means."""
    return [
        *((opted_out(person), Forbidden.OPTED_OUT) for person in guards.people),
        *((in_conversation(one), Forbidden.CONVERSATION_OPEN) for one in guards.strangers),
    ]
