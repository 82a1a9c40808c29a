"""The section `[deflection]`: keys, channels, words, and how often."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FilePath, StringConstraints

from broker.domain.abandoned import Abandoned, folded
from broker.domain.by_number import ByNumber
from broker.domain.context import ContextRules
from broker.domain.deflection import (
    DEFLECT,
    GLOBAL_TEMPLATE,
    STAY,
    TRACK,
    Branch,
    Deflection,
)
from broker.domain.message_templates import OURS, Approved, MessageTemplate
from broker.domain.voice import ANSWERED, DEFLECTED
from broker.settings.guards import (
    CapsSettings,
    QuietHoursSettings,
    WordsSettings,
)
from broker.settings.values import Count, DialPrefix, Name, Section, WebAddress

_ACTION = re.compile(rf"{DEFLECT}|{DEFLECT}:[A-Za-z0-9_-]{{1,64}}|{STAY}|{TRACK}")


def _action(value: str) -> str:
    if _ACTION.fullmatch(value) is None:
        raise ValueError(f"must be {DEFLECT}, {DEFLECT}:<channel>, {STAY} or {TRACK}")
    return value


def _nobody_took_it(value: str) -> str:
    if folded(value) in {ANSWERED, DEFLECTED}:
        raise ValueError("says that something was done for the caller")
    return value


Action = Annotated[str, AfterValidator(_action)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=8)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8})*$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1600)]
ContextKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Disposition = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_nobody_took_it)
]
BranchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class ApprovedSettings(Section):
    """`[deflection.templates.<name>.approved.<channel>]`: the provider's own template."""

    name: str = Field(min_length=1, max_length=512)
    languages: Mapping[Language, str] = {}
    parameters: tuple[str, ...] = ()


class TemplateSettings(Section):
    """`[deflection.templates.<name>]`."""

    texts: Mapping[Language, Words] = {}
    """None = ours, with our titles."""
    titles: Mapping[Language, Words] = {}
    values: Mapping[str, str] = {}
    media_url: WebAddress | None = None
    links: tuple[Name, ...] = ()
    approved: Mapping[Name, ApprovedSettings] = {}

    def template(self) -> MessageTemplate:
        """What it says; to be asked for its faults."""
        return MessageTemplate(
            dict(self.texts or OURS.texts),
            dict(self.titles if self.texts else {**OURS.titles, **self.titles}),
            dict(self.values),
            self.media_url,
            {
                channel: Approved(one.name, dict(one.languages), one.parameters)
                for channel, one in self.approved.items()
            },
            self.links,
        )


class BranchSettings(Section):
    """`[deflection.branches.<name>]`: what is different at one place of the call flow."""

    keys: Mapping[Key, Action] = {}
    channels: tuple[Name, ...] = ()
    template: Name | None = None
    context: Mapping[ContextKey, str] = {}

    def branch(self) -> Branch:
        return Branch(dict(self.keys), self.channels, self.template, dict(self.context))


class ContextSettings(Section):
    """`[deflection.context]`: what the other side may know."""

    fields: tuple[str, ...] = ContextRules().fields
    user: Mapping[ContextKey, str] = {}
    ticket: Mapping[ContextKey, str] = {}
    max_bytes: Count = 4096

    def rules(self, lives_s: float) -> ContextRules:
        user, ticket = dict(self.user), dict(self.ticket)
        return ContextRules(self.fields, user, ticket, self.max_bytes, lives_s)


class AbandonedSettings(Section):
    """`[deflection.abandoned]`: callers who gave up waiting."""

    dispositions: tuple[Disposition, ...] = ()
    consent: Literal["earlier_deflection", "never"] = "earlier_deflection"
    max_age_days: Count = 90
    template: Name | None = None

    def rules(self) -> Abandoned:
        asked = self.dispositions if self.consent == "earlier_deflection" else ()
        return Abandoned(frozenset(map(folded, asked)), self.max_age_days * 86_400.0, self.template)


class DeflectionSettings(Section):
    """`[deflection]`. Without `channels` nothing is ever sent by it."""

    channels: tuple[Name, ...] = ()
    keys: Mapping[Key, Action] = {"1": DEFLECT, "2": STAY}
    branches: Mapping[BranchName, BranchSettings] = {}
    template: Name = GLOBAL_TEMPLATE
    templates: Mapping[Name, TemplateSettings] = {}
    languages: Mapping[DialPrefix, Language] = {}
    context: ContextSettings = ContextSettings()
    prompt_version: str = Field("1", min_length=1, max_length=64)
    rules: FilePath | None = None
    auto_offer: bool = False
    invalid_choices: Count = 3
    look_back_h: Count = 24
    fallback_after_s: Count | None = None
    open_conversation: Literal["suppress", "send"] = "suppress"
    remember_days: Count = 30
    ticket_crm: Name | None = None
    first_call_h: Count = 48
    push_active_days: Count = 30
    repeat_window_s: Count = 600
    consents_kept_days: Count = 1095
    caps: CapsSettings = CapsSettings()
    quiet_hours: QuietHoursSettings = QuietHoursSettings()
    words: WordsSettings = WordsSettings()
    abandoned: AbandonedSettings = AbandonedSettings()

    def all_channels(self) -> tuple[str, ...]:
        """Every channel that a caller may be offered, once."""
        own = (branch.channels for branch in self.branches.values())
        return tuple(dict.fromkeys(name for names in (self.channels, *own) for name in names))

    def all_templates(self) -> dict[str, MessageTemplate]:
        """The operator's, and ours for who has none of its name."""
        own: dict[str, MessageTemplate] = {n: one.template() for n, one in self.templates.items()}
        return {GLOBAL_TEMPLATE: OURS, **own}

    def policy(self, **more: Any) -> Deflection:
        """What the domain decides by; `more` is what only the channels know."""
        return Deflection(
            order=self.channels,
            keys=dict(self.keys),
            branches={name: one.branch() for name, one in self.branches.items()},
            template=self.template,
            templates=self.all_templates(),
            languages=ByNumber(dict(self.languages)),
            invalid_choices=self.invalid_choices,
            prompt_version=self.prompt_version,
            ticket_crm=self.ticket_crm,
            fallback_after_s=self.fallback_after_s,
            remember_s=self.remember_days * 86_400.0,
            first_call_s=self.first_call_h * 3600.0,
            push_active_s=self.push_active_days * 86_400.0,
            carries=self.context.rules(self.look_back_h * 3600.0),
            **more,
        )
