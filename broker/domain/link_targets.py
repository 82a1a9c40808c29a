"""Where a deflection link leads: one kind per platform, every URL within its platform's limits."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from broker.domain.devices import Device
from broker.domain.errors import PermanentError
from broker.domain.languages import nearest_or_any

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDLE = "{handle}"
"""Stands for the handle in a template's address and in words."""
LONGEST_HANDLE = 64
"""Telegram's limit for what a bot is started with; the tightest of all."""
LONGEST_URL = 2000
"""Characters. Messenger takes 2,083 for `ref` alone; browsers and proxies differ above this."""
LABELS: Mapping[str, Mapping[str, str]] = {
    "messenger": {"en": "Messenger"},
    "telegram": {"en": "Telegram"},
    "apple": {"en": "Apple Messages"},
    "whatsapp": {"en": "WhatsApp"},
    "rcs": {"en": "Messages", "de": "Nachrichten", "es": "Mensajes"},
    "brand_messenger": {"en": "Messenger"},
    "chat": {"en": "Live chat", "de": "Live-Chat", "es": "Chat en vivo"},
    "community": {"en": "Community", "de": "Community", "es": "Comunidad"},
    "faq": {"en": "FAQ", "de": "Häufige Fragen", "es": "Preguntas frecuentes"},
    "link": {"en": "Open", "de": "Öffnen", "es": "Abrir"},
    "app": {"en": "Open the app", "de": "App öffnen", "es": "Abrir la app"},
}
"""What the button of a kind says, by language, unless the operator says it better."""
_HANDLE = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_HANDLE}}}", re.ASCII)
_APPLE_RESERVED = frozenset("&#[](){}/")
_CODE: Mapping[str, str] = {
    "en": f"Hello! My code: {HANDLE}",
    "de": f"Hallo! Mein Code: {HANDLE}",
    "es": f"¡Hola! Mi código: {HANDLE}",
}
_STORES: Mapping[Device, str] = {Device.IOS: "App Store", Device.ANDROID: "Google Play"}

CLOSED: Mapping[str, date] = {"google_business": date(2024, 7, 31)}
"""Kinds that lead nowhere any more, and since when.

Google: developers.google.com/business-communications/business-messages, "Update on GBM".
"""


@dataclass(frozen=True, kw_only=True)
class LinkTarget(ABC):
    """One `[links.<name>]`. Labels and words are by language; dates are in UTC, both included."""

    kind: ClassVar[str]
    default_words: ClassVar[Mapping[str, str]] = {}
    only_tapped: ClassVar[bool] = False
    """Whether it opens only from a button, never by a redirect."""
    leads_on: ClassVar[Device | None] = None
    """Where it is the first of several."""

    labels: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    """What the person finds written already, where the platform takes that; may have HANDLE."""
    valid_from: date | None = None
    valid_until: date | None = None

    def offered(self, on: date) -> bool:
        """Whether anybody is sent there on this day."""
        begun = self.valid_from is None or self.valid_from <= on
        return begun and (self.valid_until is None or on <= self.valid_until)

    def suits(self, device: Device) -> bool:  # noqa: ARG002 - most do
        """Whether the link does anything there."""
        return True

    def label(self, language: str | None) -> str:
        """What its button says."""
        return nearest_or_any(self.labels or LABELS[self.kind], language)

    def link(self, handle: str, language: str | None = None) -> str:
        """The link for one person; nothing in it but the handle is about him.

        PermanentError if the platform would not take it.
        """
        if _HANDLE.fullmatch(handle) is None:
            raise PermanentError("a handle has 1 to 64 of A-Z a-z 0-9 _ -")
        known = self.words or self.default_words
        words = nearest_or_any(known, language) if known else ""
        made = self._link(handle, words.replace(HANDLE, handle))
        if len(made) > LONGEST_URL:
            raise PermanentError(f"the link has more than {LONGEST_URL} characters")
        return made

    def store(self, handle: str, device: Device) -> tuple[str, str] | None:  # noqa: ARG002
        """Where to get what is missing on this device: the store's name and the link."""
        return None

    @abstractmethod
    def _link(self, handle: str, words: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Messenger(LinkTarget):
    """`m.me/<page>?ref=`: the handle is `referral.ref` in Messenger's webhook.

    developers.facebook.com/docs/messenger-platform/discovery/m-me-links: `ref` has up to 2,083
    characters; following it opens the 24 hours in which a page may write freely.
    """

    kind = "messenger"
    page: str

    def _link(self, handle: str, words: str) -> str:
        return f"https://m.me/{self.page}?{_query(ref=handle, text=words)}"


@dataclass(frozen=True, kw_only=True)
class Telegram(LinkTarget):
    """`t.me/<bot>?start=`: the bot gets `/start <handle>`, at most 64 of `A-Za-z0-9_-`.

    core.telegram.org/bots/features#deep-linking.
    """

    kind = "telegram"
    bot: str

    def _link(self, handle: str, words: str) -> str:  # noqa: ARG002 - Telegram takes no words
        return f"https://t.me/{self.bot}?{_query(start=handle)}"


@dataclass(frozen=True, kw_only=True)
class Apple(LinkTarget):
    """`bcrw.apple.com/urn:biz:<id>`: Messages for Business; the handle comes as intent or group.

    Parameters must not contain `& # [ ] ( ) { } /` (Sprinklr, "URL Entry Points"), not even
    encoded: Apple's own list of most common errors begins with URLs that are encoded twice.
    """

    kind = "apple"
    leads_on = Device.IOS
    business_id: str
    intent: str | None = None
    group: str | None = None
    handle_in: str = "intent"
    """`intent` or `group`."""

    def suits(self, device: Device) -> bool:
        return device in {Device.IOS, Device.MAC}

    def _link(self, handle: str, words: str) -> str:
        intent = handle if self.handle_in == "intent" else self.intent
        group = handle if self.handle_in == "group" else self.group
        values = {"biz-intent-id": intent, "biz-group-id": group, "body": words}
        if any(_APPLE_RESERVED & set(value or "") for value in values.values()):
            raise PermanentError("has one of & # [ ] ( ) { } / which Apple does not take")
        return f"https://bcrw.apple.com/urn:biz:{self.business_id}?{_query(**values)}"


@dataclass(frozen=True, kw_only=True)
class WhatsApp(LinkTarget):
    """`wa.me/<digits>?text=`: the person sends the words, and only they can carry the handle.

    The number is international, digits only (faq.whatsapp.com, "How to use click to chat").
    """

    kind = "whatsapp"
    default_words = _CODE
    number: str

    def _link(self, handle: str, words: str) -> str:
        return (
            f"https://wa.me/{self.number.removeprefix('+')}?{_query(text=_carrying(handle, words))}"
        )


@dataclass(frozen=True, kw_only=True)
class Rcs(LinkTarget):
    """`sms:<number>?service_id=<agent>`: RCS in Google Messages, else an SMS to that number.

    developers.google.com/business-communications/rcs-business-messaging/guides/build/deeplinks:
    browsers open it from a button only; without a number, who has no RCS sees an error.
    """

    kind = "rcs"
    default_words = _CODE
    only_tapped = True
    agent: str
    """`shop@rbm.goog`."""
    number: str | None = None

    def suits(self, device: Device) -> bool:
        return device is Device.ANDROID

    def _link(self, handle: str, words: str) -> str:
        body = _carrying(handle, words)
        if self.number is None:
            return f"sms:{quote(self.agent, safe='')}?{_query(body=body)}"
        return f"sms:{self.number}?{_query(service_id=self.agent, body=body)}"


@dataclass(frozen=True, kw_only=True)
class Page(LinkTarget):
    """An address of the operator's own, which may have HANDLE anywhere behind its host."""

    url: str

    def _link(self, handle: str, words: str) -> str:  # noqa: ARG002 - a page takes no words
        return self.url.replace(HANDLE, handle)


class BrandMessenger(Page):
    """The operator's own messenger."""

    kind = "brand_messenger"


class Chat(Page):
    """A live-chat page."""

    kind = "chat"


class Community(Page):
    """A forum or community."""

    kind = "community"


class Faq(Page):
    """Answers to questions that are often asked."""

    kind = "faq"


class Link(Page):
    """Anything else that is worth a link: a payment page, a contract, a document."""

    kind = "link"


@dataclass(frozen=True, kw_only=True)
class App(LinkTarget):
    """A deep link into the operator's app, and where to get the app.

    Google Play hands `referrer` to the freshly installed app (Play Install Referrer), so the handle
    survives that; the App Store has nothing like it.
    """

    kind = "app"
    only_tapped = True
    url: str
    app_store: str | None = None
    """Apple's number of the app."""
    play_store: str | None = None
    """The package's name."""

    def suits(self, device: Device) -> bool:
        return self.url.startswith("https:") or self._in_store("x", device) is not None

    def store(self, handle: str, device: Device) -> tuple[str, str] | None:
        link = self._in_store(handle, device)
        return (_STORES[device], link) if link is not None else None

    def _in_store(self, handle: str, device: Device) -> str | None:
        if device is Device.IOS and self.app_store is not None:
            return f"https://apps.apple.com/app/id{self.app_store}"
        if device is Device.ANDROID and self.play_store is not None:
            query = _query(id=self.play_store, referrer=handle)
            return f"https://play.google.com/store/apps/details?{query}"
        return None

    def _link(self, handle: str, words: str) -> str:  # noqa: ARG002 - an app takes no words
        return self.url.replace(HANDLE, handle)


KINDS: Mapping[str, type[LinkTarget]] = {
    target.kind: target
    for target in (
        Messenger,
        Telegram,
        Apple,
        WhatsApp,
        Rcs,
        BrandMessenger,
        Community,
        Chat,
        Faq,
        Link,
        App,
    )
}


def _carrying(handle: str, words: str) -> str:
    if handle not in words:
        raise PermanentError(f"the words must have {HANDLE}: nothing else carries it")
    return words


def _query(**values: str | None) -> str:
    """A query string of the values there are, every space as `%20` and nothing left unquoted."""
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in values.items() if value)
