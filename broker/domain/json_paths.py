"""Paths into a JSON answer: a small subset of JSONPath, and the same without `$`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from broker.domain.errors import PermanentError

_PATH = re.compile(
    r"(?:\$(?=[.\[]|$))?  (?:[^.\[\]]+)?  (?:\.[^.\[\]]+ | \[(?:[0-9]+|\*)\])*",
    re.VERBOSE | re.ASCII,
)
_STEP = re.compile(r"([^.\[\]]+)", re.ASCII)
_ALL = "*"


def is_path(text: str) -> bool:
    """Whether `text` is like `$`, `a.b`, `$.a[0].b`, `a.0.b` or `a[*].b`."""
    return text != "" and _PATH.fullmatch(text) is not None


def values_at(node: object, path: str) -> list[object]:
    """Everything that `path` leads to; empty if it leads nowhere."""
    nodes = [node]
    for step in _steps(path):
        nodes = [child for parent in nodes for child in _children(parent, step)]
    return nodes


def value_at(node: object, path: str) -> object:
    """The one value that `path` leads to, the list of several, or None."""
    steps = _steps(path)
    if len(steps) == 1 and isinstance(node, dict):
        return node.get(steps[0])  # a plain field, as most are
    found = values_at(node, path)
    return found[0] if len(found) == 1 else found or None


def records_at(body: object, path: str) -> list[dict[str, Any]]:
    """The records at `path` of an answer: a list of objects, one object, or nobody.

    PermanentError if there is nothing at the path, unless its end `[*]` allows for that: an answer
    of another shape may be an error message, and that is not nobody.
    """
    found = values_at(body, path) if body is not None else [None]
    if not found and not path.endswith("[*]"):
        raise PermanentError("the answer has nothing at the path `results`")
    records: list[Any] = []
    for node in found:
        if isinstance(node, list):
            records += node
        elif node is not None and node != {}:
            records.append(node)
    if not all(isinstance(record, dict) for record in records):
        raise PermanentError("a record in the answer is no object")
    return records


@lru_cache(maxsize=256)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(_STEP.findall(re.sub(r"^\$(?=[.\[]|$)", "", path)))


def _children(node: object, step: str) -> list[object]:
    if isinstance(node, dict):
        return [node[step]] if step in node else []
    if not isinstance(node, list):
        return []
    if step == _ALL:
        return node
    return node[int(step) :][:1] if re.fullmatch(r"[0-9]{1,9}", step, re.ASCII) else []
