"""What an operator says of called numbers by how they begin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True)
class ByNumber(Generic[T]):
    """What holds for called numbers: that of the longest prefix which fits, else the default."""

    by_prefix: Mapping[str, T] = field(default_factory=dict)
    default: T | None = None
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = sorted({len(prefix) for prefix in self.by_prefix}, reverse=True)
        object.__setattr__(self, "_lengths", tuple(lengths))

    def of(self, called: str | None) -> T | None:
        """`called` is spelled as the prefixes are: as `called_number` gives it."""
        if called is not None:
            for length in self._lengths:
                if (found := self.by_prefix.get(called[:length])) is not None:
                    return found
        return self.default
