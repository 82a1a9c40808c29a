"""Small plug-ins for the settings tests, and the shortest way to a file's faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Discriminator, Field, SecretStr, Tag

from broker.domain.errors import ConfigError
from broker.domain.record import Session
from broker.ports import CallPlatform, Channel, CrmAdapter, Options
from broker.settings import from_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.domain.call import CallRef, Phone, Reference
    from broker.domain.customer import Customer
    from broker.ports import Envelope, Variable


def _quoting(value: str) -> str:
    raise ValueError(f"{value} is no good")


def _size(value: Any) -> Any:
    return value.get("size")


class Small(Options):
    size: str


class Large(Options):
    size: str


class ShopOptions(Options):
    path: str = "customers.csv"
    file: Path | None = None
    box: (
        Annotated[
            Annotated[Small, Tag("small")] | Annotated[Large, Tag("large")], Discriminator(_size)
        ]
        | None
    ) = None
    quoted: Annotated[str | None, AfterValidator(_quoting)] = None
    token: SecretStr | None = None
    ca_file: str | None = None


class ShopAdapter(CrmAdapter):
    options_type = ShopOptions

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:  # noqa: ARG002
        return ()

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:  # noqa: ARG002
        return ()


class FoldingAdapter(ShopAdapter):
    folds_reference = True


class PasswordAuth(Options):
    kind: Literal["password"]
    username: str
    password: SecretStr


class TokenAuth(Options):
    kind: Literal["token"]
    token: SecretStr


class PhoneOptions(Options):
    base_url: str = "https://phone.example"
    auth: Annotated[PasswordAuth | TokenAuth, Field(discriminator="kind")] | None = None


class PhonePlatform(CallPlatform):
    options_type = PhoneOptions

    async def find_session(self, call: CallRef, *, within: float) -> Session:  # noqa: ARG002
        return Session(call.call_id, "guessed")

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None: ...


class AppChannel(Channel):
    """Reaches apps, and nobody by his address."""

    options_type = Options
    reaches = "push"

    def __init__(self, options: Options, http: Any) -> None:
        """Opens nothing."""

    async def send(self, envelope: Envelope, *, within: float) -> str | None:  # noqa: ARG002 - never asked
        return None


class AnsweringPlatform(PhonePlatform):
    writes_out = False


Tables = Callable[..., dict[str, Any]]
FaultsOf = Callable[..., list[str]]


@pytest.fixture
def tables() -> Tables:
    """Makes the smallest valid file, with the given sections in place of its own."""

    def make(**sections: Any) -> dict[str, Any]:
        platform = {"driver": f"{__name__}:PhonePlatform"}
        crm = {"shop": {"adapter": f"{__name__}:ShopAdapter"}}
        return {"platform": platform, "crm": crm} | sections

    return make


@pytest.fixture
def faults_of(tables: Tables) -> FaultsOf:
    """Reads the smallest file with the given sections: what is wrong with it, line by line."""

    def read(environ: Mapping[str, str] | None = None, **sections: Any) -> list[str]:
        try:
            from_mapping(tables(**sections), environ or {})
        except ConfigError as error:
            return list(error.faults)
        return []

    return read
