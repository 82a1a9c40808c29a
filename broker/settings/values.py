"""Kinds of values that settings hold. An error text names the problem, never the value."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from broker.http_client import Addresses
from broker.stores import address

_NAME = r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$"
_ADDRESS = re.compile(r"https?://[^\s]+", re.ASCII)
SHORTEST_KEY = 16
"""Characters. A shorter key can be guessed."""
SHORTEST_HMAC = 24
"""Bytes, as Standard Webhooks asks for."""


class Section(BaseModel):
    """Base of every table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _switch(value: object) -> object:
    """A text or a boolean; `true` and `false` are booleans also where everything is text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value, value)
    if not isinstance(value, bool):
        raise ValueError("must be true, false or a text")  # noqa: TRY004 - see above
    return value


def _region(value: str) -> str:
    if value not in SUPPORTED_REGIONS:
        raise ValueError("must be a region in capital letters, like DE (ISO 3166)")
    return value


def _web_address(value: str) -> str:
    if _ADDRESS.fullmatch(value) is None or not urlsplit(value).hostname:
        raise ValueError("must be an address with http:// or https://")
    if urlsplit(value).query or urlsplit(value).fragment:
        raise ValueError("must have neither ? nor #")
    return value.rstrip("/")


def _link_template(value: str) -> str:
    bare = value.replace("{track_id}", "")
    if _ADDRESS.fullmatch(value) is None or "{track_id}" not in value or "{" in bare or "}" in bare:
        raise ValueError("must be an address with {track_id} and no other placeholder")
    if "{" in urlsplit(value).netloc:
        raise ValueError("must not have {track_id} in the host")
    return value


def _store_address(value: SecretStr) -> SecretStr:
    address.check(value.get_secret_value())
    return value


def _internal_address(value: str) -> str:
    Addresses.parse([value])
    return value


def several(value: SecretStr | None) -> list[str]:
    """The secrets in `value`: the new and the old one, separated by white space, or just one."""
    return value.get_secret_value().split() if value is not None else []


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_KEY:
        raise ValueError(f"must have at least {SHORTEST_KEY} characters")
    return value


def _each_long_enough(value: SecretStr) -> SecretStr:
    if not (keys := several(value)) or min(map(len, keys)) < SHORTEST_KEY:
        raise ValueError(f"must have at least {SHORTEST_KEY} characters")
    return value


def _signing(value: SecretStr) -> SecretStr:
    secrets = several(value)
    if not secrets or not all(map(_long_base64, secrets)):
        raise ValueError(f"must be whsec_ and at least {SHORTEST_HMAC} bytes in base64")
    return value


def _long_base64(secret: str) -> bool:
    try:
        decoded = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return len(decoded) >= SHORTEST_HMAC


Count = Annotated[int, BeforeValidator(_no_boolean), Field(gt=0)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=65535)]
Seconds = Annotated[float, BeforeValidator(_no_boolean), Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, le=1_000_000)]
Money = Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, le=1_000_000)]
"""In whatever unit the operator counts; a millionth of it is the least."""
KeptSeconds = Annotated[float, BeforeValidator(_no_boolean), Field(ge=0, le=604_800)]
"""How long something of a customer is kept: a week at most."""
ClientKey = Annotated[SecretStr, AfterValidator(_each_long_enough)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signing)]
Key = Annotated[SecretStr, AfterValidator(_long_enough)]
StoreAddress = Annotated[SecretStr, AfterValidator(_store_address)]
InternalAddress = Annotated[str, AfterValidator(_internal_address)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
LinkTemplate = Annotated[str, AfterValidator(_link_template)]
Region = Annotated[str, AfterValidator(_region)]
Switch = Annotated[bool | str, BeforeValidator(_switch)]
Name = Annotated[str, Field(pattern=_NAME, max_length=64)]
"""Of a part or a client: `[crm.<name>]`. No `__`, which separates the parts of a variable."""
DialPrefix = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]
"""A key of the automation's body, or a dotted path to one."""
