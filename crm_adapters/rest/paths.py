"""Paths into a JSON answer: a small subset of JSONPath, and the same without `$`."""

from __future__ import annotations

import re
from functools import lru_cache

_PATH = re.compile(
    r"(?:\$(?=[.\[]|$))?  (?:[^.\[\]]+)?  (?:\.[^.\[\]]+ | \[(?:[0-9]+|\*)\])*",
    re.VERBOSE | re.ASCII,
)
_STEP = re.compile(r"([^.\[\]]+)", re.ASCII)
_ALL = "*"


def is_path(text: str) -> bool:
    """Whether `text` is like `$`, `a.b`, `$.a[0].b`, `a.0.b` or `a[*].b`."""
    return text != "" and _PATH.fullmatch(text) is not None


def at(node: object, path: str) -> list[object]:
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
    found = at(node, path)
    return found[0] if len(found) == 1 else found or None


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
