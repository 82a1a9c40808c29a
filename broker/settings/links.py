"""`[links.<name>]`: where deflection links may lead, a table per kind, tried at the start."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from datetime import date  # noqa: TC003 - pydantic evaluates it
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, field_validator
from pydantic import model_validator as checked_by

from broker.domain.call import Phone
from broker.domain.errors import BadInputError, PermanentError
from broker.domain.link_targets import CLOSED, HANDLE, KINDS, LONGEST_HANDLE, LinkTarget
from broker.settings.values import Section

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://[!#-&(-;=?-\[\]_a-z~]+", re.ASCII)
_REFUSED = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "http"})


def _number(value: str) -> str:
    try:
        return Phone.from_e164(value).e164
    except BadInputError:
        raise ValueError("must be a number with country code, like +493023125000") from None


def _deep_link(value: str) -> str:
    bare = value.replace(HANDLE, "x")
    scheme, host = urlsplit(bare).scheme, urlsplit(value).netloc
    if _SCHEME.fullmatch(bare) is None or scheme in _REFUSED:
        raise ValueError(f"must be an address, with no placeholder but {HANDLE}")
    if not host or HANDLE in host:
        raise ValueError(f"must have a host, and no {HANDLE} in it")
    return value


def _web_page(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("must be an address with https://")
    return _deep_link(value)


def _carrying(value: str) -> str:
    if HANDLE not in value:
        raise ValueError(f"must have {HANDLE}: nothing else brings the context along")
    return value


Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Words = Annotated[str, Field(min_length=1, max_length=500)]
Number = Annotated[str, AfterValidator(_number)]
WebPage = Annotated[str, AfterValidator(_web_page)]
CarryingPage = Annotated[WebPage, AfterValidator(_carrying)]
DeepLink = Annotated[str, AfterValidator(_deep_link), AfterValidator(_carrying)]
AppleWord = Annotated[str, Field(pattern=r"^[^&#\[\](){}/]{1,64}$")]


class LinkSettings(Section):
    """What every kind has."""

    kind: str
    label: Mapping[Language, Words] = {}
    valid_from: date | None = None
    valid_until: date | None = None

    def target(self) -> LinkTarget:
        """What the domain gets."""
        own: dict[str, Any] = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in {"kind", "label"}
        }
        return KINDS[self.kind](labels=self.label, **own)

    @checked_by(mode="after")
    def _works(self) -> Self:
        """With the longest handle and in every language: what cannot work stops the start."""
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError("valid_until is before valid_from")
        target = self.target()
        for language in {"en": "", **target.words}:
            try:
                target.link("x" * LONGEST_HANDLE, language)
            except PermanentError as error:
                raise ValueError(str(error)) from None
        return self


class MessengerLink(LinkSettings):
    kind: Literal["messenger"]
    page: str = Field(pattern=r"^[A-Za-z0-9.]{5,50}$")
    words: Mapping[Language, Words] = {}


class TelegramLink(LinkSettings):
    kind: Literal["telegram"]
    bot: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{4,31}$")


class AppleLink(LinkSettings):
    kind: Literal["apple"]
    business_id: str = Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
    handle_in: Literal["intent", "group"] = "intent"
    intent: AppleWord | None = None
    group: AppleWord | None = None
    words: Mapping[Language, Words] = {}

    @checked_by(mode="after")
    def _has_room_for_the_handle(self) -> Self:
        if getattr(self, self.handle_in) is not None:
            raise ValueError(f"{self.handle_in} is where the handle goes: see handle_in")
        return self


class WhatsAppLink(LinkSettings):
    kind: Literal["whatsapp"]
    number: Number
    words: Mapping[Language, Words] = {}


class RcsLink(LinkSettings):
    kind: Literal["rcs"]
    agent: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+$")
    number: Number | None = None
    words: Mapping[Language, Words] = {}


class PageLink(LinkSettings):
    """A chat or messenger of the operator's."""

    kind: Literal["brand_messenger", "chat"]
    url: CarryingPage


class InfoLink(LinkSettings):
    """A page that may well do without the context."""

    kind: Literal["community", "faq", "link"]
    url: WebPage


class AppLink(LinkSettings):
    kind: Literal["app"]
    url: DeepLink
    app_store: str | None = Field(None, pattern=r"^[0-9]{5,15}$")
    play_store: str | None = Field(
        None, pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$"
    )

    @checked_by(mode="after")
    def _can_be_got(self) -> Self:
        if self.app_store is None and self.play_store is None:
            raise ValueError("needs app_store, play_store or both, for who does not have the app")
        return self


class ClosedLink(Section):
    """A kind that leads nowhere any more: whatever else stands there, the reason is told."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["google_business"]

    @field_validator("kind")
    @classmethod
    def _is_closed(cls, kind: str) -> str:
        raise ValueError(f"was closed by its platform on {CLOSED[kind].isoformat()}")


AnyLink = Annotated[
    MessengerLink
    | TelegramLink
    | AppleLink
    | WhatsAppLink
    | RcsLink
    | PageLink
    | InfoLink
    | AppLink
    | ClosedLink,
    Discriminator("kind"),
]
