"""Small conditions over the values of one record: `tier in ["gold"] or spend >= 1000`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

Get = Callable[[str], object]
Truth = bool | None
"""None = cannot be known, because a value is missing."""
_Node = Callable[[Get], Truth]
_Constant = str | Decimal | bool

MOST_CHARACTERS = 500
_SCALARS = (str, int, float, Decimal)
"""What equals something or not. A list or an object does neither: `!=` would be true of it."""
_EQUAL: dict[type[ast.cmpop], bool] = {ast.Eq: True, ast.NotEq: False}
_AMONG: dict[type[ast.cmpop], bool] = {ast.In: True, ast.NotIn: False}
_ORDERED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition, read once. What a missing value, or a list, leaves open is None, never a guess.

    Names are places in the record, `field("a name with spaces")` as well; constants are texts,
    numbers and lists of them. Texts are compared trimmed and without case, numbers also if the
    record holds them as text; a name alone is a real boolean. With `and`, `or`, `not`.
    """

    names: frozenset[str]
    """Every place that is looked at."""
    truths: frozenset[str]
    """Those of them that are expected to be true or false, and not a text or a number."""
    _root: _Node

    @classmethod
    @lru_cache(maxsize=64)
    def parse(cls, text: str) -> Expression:
        """ValueError says what is wrong with it."""
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"the expression is longer than {MOST_CHARACTERS} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ValueError("the expression cannot be read") from None
        reader = _Reader()
        root = reader.truth(tree.body)
        return cls(frozenset(reader.names), frozenset(reader.truths), root)

    def of(self, get: Get) -> Truth:
        return self._root(get)


class _Reader:
    """Turns a syntax tree into functions; whatever it does not know is refused."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.truths: set[str] = set()

    def truth(self, node: ast.expr) -> _Node:
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _not(self.truth(node.operand))
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._comparison(node)
        name = self._name(node)
        self.truths.add(name)
        return _is_true(name)

    def _comparison(self, node: ast.Compare) -> _Node:
        name, kind, right = self._name(node.left), type(node.ops[0]), node.comparators[0]
        if kind in _AMONG or kind in _EQUAL:
            constants = _constants(right) if kind in _AMONG else [_constant(right)]
            if any(isinstance(constant, bool) for constant in constants):
                self.truths.add(name)
            return _among(name, constants, wanted=(_AMONG | _EQUAL)[kind])
        limit = _constant(right)
        if kind not in _ORDERED or not isinstance(limit, Decimal):
            raise ValueError("the expression compares in a way that is not known")
        return _ordered(name, _ORDERED[kind], limit)

    def _name(self, node: ast.expr) -> str:
        name = _named(node)
        self.names.add(name)
        return name


def _named(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_named(node.value)}.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field":
        quoted = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
            return quoted.value
    raise ValueError("the expression knows names, texts, numbers, lists, and, or, not, in")


def _constants(node: ast.expr) -> list[_Constant]:
    if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not node.elts:
        raise ValueError("the expression needs a list after `in`")
    return [_constant(element) for element in node.elts]


def _constant(node: ast.expr) -> _Constant:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, str) and sign == 1:
        return value.strip().casefold()
    if isinstance(value, bool) and sign == 1:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return sign * Decimal(str(value))
    raise ValueError("the expression compares with texts and numbers only")


def _among(name: str, constants: list[_Constant], *, wanted: bool) -> _Node:
    def look(get: Get) -> Truth:
        raw = get(name)
        if not isinstance(raw, _SCALARS) or (isinstance(raw, str) and not raw.strip()):
            return None
        found = any(_same(raw, constant) for constant in constants)
        return found is wanted

    return look


def _same(raw: object, constant: _Constant) -> bool:
    if isinstance(constant, Decimal):
        return _number(raw) == constant
    if isinstance(constant, bool):
        return raw is constant
    return isinstance(raw, str | int) and str(raw).strip().casefold() == constant


def _ordered(name: str, compare: Callable[[Any, Any], bool], limit: Decimal) -> _Node:
    def look(get: Get) -> Truth:
        number = _number(get(name))
        return None if number is None else compare(number, limit)

    return look


def _number(raw: object) -> Decimal | None:
    if not isinstance(raw, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(raw))  # of True as well: that is none
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _is_true(name: str) -> _Node:
    def look(get: Get) -> Truth:
        raw = get(name)
        return raw if isinstance(raw, bool) else None

    return look


def _not(part: _Node) -> _Node:
    def look(get: Get) -> Truth:
        truth = part(get)
        return None if truth is None else not truth

    return look


def _all(parts: list[_Node]) -> _Node:
    def look(get: Get) -> Truth:
        truths = [part(get) for part in parts]
        if False in truths:
            return False
        return None if None in truths else True

    return look


def _any(parts: list[_Node]) -> _Node:
    def look(get: Get) -> Truth:
        truths = [part(get) for part in parts]
        if True in truths:
            return True
        return None if None in truths else False

    return look
