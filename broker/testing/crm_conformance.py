"""What `pytest --crm` collects: the kits that fit the chosen adapter, as one test class."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from broker.domain.errors import ConfigError
from broker.plugins import crm_adapter, options_type, spelled_out
from broker.ports import CrmAdapter
from broker.testing.crm_kit import KeypadCrmAdapterKit
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.vendor import FakeVendor

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proven:
    """Who is asked, and who plays his CRM."""

    adapter: type[CrmAdapter]
    vendor: type[FakeVendor]


def choose(adapter: str, vendor: str | None) -> Proven:
    """From now on this module holds the questions for this pair.

    `adapter` is a registered name or `module:Class`, `vendor` is `module:Class`. ConfigError in one
    sentence if one of them is not there or is something else.
    """
    with _about(f"--crm {adapter}"):
        chosen = _whole(crm_adapter(adapter))
        options_type(chosen)
    if not vendor:
        raise ConfigError(
            "--crm needs a FakeVendor that plays the CRM: "
            "name it by --crm-vendor module:Class or by crm_vendor in the ini file"
        )
    with _about(f"--crm-vendor {vendor}"):
        found = cast("type[FakeVendor]", spelled_out(vendor, FakeVendor))
        proven = Proven(chosen, _whole(found))
    globals()["TestConformance"] = questions(proven)
    return proven


def questions(proven: Proven) -> type[HttpCrmAdapterKit]:
    """A test class of every kit that the adapter has to pass."""
    adapter = proven.adapter
    kits: list[type] = []
    if adapter.create_ticket is not CrmAdapter.create_ticket:
        kits.append(TicketKit)
    if adapter.record_outcome is not CrmAdapter.record_outcome:
        kits.append(NoteKit)
    kits.append(HttpCrmAdapterKit)
    if adapter.folds_reference:
        kits.append(KeypadCrmAdapterKit)
    types = {"adapter_type": adapter, "vendor_type": proven.vendor}
    return type("TestConformance", tuple(kits), {**types, "__module__": __name__})


@contextmanager
def _about(option: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from error.__cause__


def _whole(kind: type[T]) -> type[T]:
    """ConfigError if the class leaves out what it has to give."""
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"the class has no {', '.join(missing)}")
    return kind
