"""What messages say: templates per purpose and language, proven to work before the first call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    select_autoescape,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from broker.domain.customer import clean
from broker.domain.errors import ConfigError, PermanentError
from broker.domain.languages import FALLBACK, nearest
from broker.domain.messages import TRACKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jinja2 import Environment, Template

PURPOSES = frozenset({TRACKING})
SAMPLE = {"link": "https://shop.example.com/track/1A2B3C", "name": "Ada", "track_id": "1A2B3C"}
"""Every value a template may show. Only `link` is always there."""
_FILE = re.compile(
    r"([a-z_]+)\.([a-z]{2,3}(?:-[a-z0-9]{2,8})*)\.(txt|html)", re.ASCII | re.IGNORECASE
)
_KINDS = ("txt", "html")
_SUBJECT = "Subject:"
_LINK = re.compile(r"https?://[!#-&(-;=?-\[\]_a-z~]{1,2000}", re.ASCII)
"""Printable ASCII without space, quotes and the other characters that no link may have."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message in words. The subject is one line; the two bodies say the same."""

    subject: str
    text: str
    html: str


class _Absent(StrictUndefined):
    """A value that a template may ask for but not show, so that no customer reads "Hello ,"."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # jinja2: "never returns"
        if self._undefined_name in SAMPLE:
            return False
        return bool(super().__bool__())


@dataclass(frozen=True, slots=True)
class _Mail:
    subject: Template
    text: Template
    html: Template

    def render(self, values: Mapping[str, str]) -> Rendered:
        """Whatever goes wrong in a template comes out as it is."""
        return Rendered(
            clean(self.subject.render(values)) or "",
            self.text.render(values).strip() + "\n",
            self.html.render(values),
        )


class Templates:
    """All templates, compiled. ConfigError lists everything that is wrong with them.

    For every purpose and language there is `<purpose>.<language>.txt`, whose first line is
    `Subject: ...`, and `<purpose>.<language>.html`. A file in `directory` takes the place of ours
    of the same name, and may add a language. Files whose name begins with `_` are only included.
    """

    def __init__(self, directory: Path | None = None) -> None:
        if directory is not None and not directory.is_dir():
            raise ConfigError("templates.dir is no directory")
        self._environment = _environment(directory)
        self._mails: dict[str, dict[str, _Mail]] = {}
        faults = dict.fromkeys(self._load())
        if faults:
            raise ConfigError(*faults)

    def render(self, purpose: str, language: str | None, values: Mapping[str, str]) -> Rendered:
        """The message in the nearest language: `de-AT`, else `de`, else English.

        `values` are data and stay as they are, but for control characters; an empty one counts as
        absent. PermanentError if the link is no web address, or the template fails with these
        values.
        """
        shown = _shown(values)
        mail = self._choose(purpose, language)
        try:
            rendered = mail.render(shown)
        except Exception as error:  # noqa: BLE001 - this message fails, and nothing else
            raise PermanentError(f"the {purpose} template failed: {type(error).__name__}") from None
        if not rendered.subject:
            raise PermanentError(f"the {purpose} template made an empty subject")
        return rendered

    def words(self, title: str, text: str, language: str | None) -> Rendered:
        """Words that are ready, as a mail: the same in both bodies, addresses made links."""
        shown = {"title": title, "text": text, "language": language or FALLBACK}
        html = self._environment.get_template("_words.html").render(shown)
        return Rendered(clean(title) or "", text.strip() + "\n", html)

    def _choose(self, purpose: str, language: str | None) -> _Mail:
        mail = nearest(self._mails.get(purpose, {}), language)
        if mail is None:
            raise PermanentError("there is no template for this purpose")
        return mail

    def _load(self) -> Iterator[str]:
        """Fill `_mails`; what is wrong comes back, one sentence each."""
        files: dict[tuple[str, str], dict[str, str]] = {}
        for name in self._environment.list_templates(["txt", "html"]):
            if "/" in name or name.startswith("_"):
                continue
            match = _FILE.fullmatch(name)
            if match is None or match[1].lower() not in PURPOSES:
                yield f"{name}: is not called <purpose>.<language>.txt or .html ({_known()})"
                continue
            purpose, language, kind = match.groups()
            files.setdefault((purpose.lower(), language.lower()), {})[kind.lower()] = name
        for key, names in files.items():
            missing = [kind for kind in _KINDS if kind not in names]
            if missing:
                yield f"{'.'.join((*key, *missing))}: is missing, the other half is there"
            else:
                yield from self._compile(key, names)

    def _compile(self, key: tuple[str, str], names: Mapping[str, str]) -> Iterator[str]:
        parts: dict[str, Template] = {}
        for kind in _KINDS:
            try:
                parts |= _parts(self._environment, names[kind], kind)
            except Exception as error:  # noqa: BLE001 - whatever it is, the operator has to know
                yield f"{names[kind]}: {_told(error)}"
        if len(parts) == len(_Mail.__slots__):
            purpose, language = key
            mail = self._mails.setdefault(purpose, {})[language] = _Mail(**parts)
            yield from _tried(mail, names)


def _environment(directory: Path | None) -> Environment:
    ours = PackageLoader("broker.channels", "templates")
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(directory), ours]) if directory else ours,
        autoescape=select_autoescape(["html"], default_for_string=False, default=False),
        undefined=_Absent,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _parts(environment: Environment, name: str, kind: str) -> dict[str, Template]:
    """The compiled templates in one file, by what they are of a mail."""
    if kind == "html":
        return {"html": environment.get_template(name)}
    source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
    first, _, rest = source.partition("\n")
    if not first.startswith(_SUBJECT):
        raise TemplateSyntaxError(f"the first line must begin with `{_SUBJECT}`", 1, name)
    return {
        "subject": environment.from_string(first.removeprefix(_SUBJECT).strip()),
        "text": environment.from_string(f"\n{rest}"),  # so that errors name the file's own line
    }


def _tried(mail: _Mail, names: Mapping[str, str]) -> Iterator[str]:
    """What goes wrong with every value, and with none but the link."""
    parts = {"txt": (mail.subject, mail.text), "html": (mail.html,)}
    for values in (SAMPLE, {"link": SAMPLE["link"]}):
        for kind, templates in parts.items():
            try:
                shown = [template.render(values) for template in templates]
            except Exception as error:  # noqa: BLE001 - whatever it is, the operator has to know
                yield f"{names[kind]}: {_told(error)}"
                break
            if SAMPLE["link"] not in shown[-1]:
                yield f"{names[kind]}: does not show the link"
                break
            if not clean(shown[0]):
                yield f"{names[kind]}: the subject is empty"
                break


def _told(error: Exception) -> str:
    if isinstance(error, TemplateSyntaxError):
        return f"line {error.lineno}: {error.message}"
    if isinstance(error, TemplateError) and error.message:
        optional = ", ".join(sorted(SAMPLE.keys() - {"link"}))
        return f"{error.message} (may be absent, so ask with `if`: {optional})"
    return f"{type(error).__name__}: {error}"


def _known() -> str:
    return "known purposes: " + ", ".join(sorted(PURPOSES))


def _shown(values: Mapping[str, str]) -> dict[str, str]:
    link = values.get("link", "")
    if _LINK.fullmatch(link) is None:
        raise PermanentError("the link is no web address")
    cleaned = {name: clean(value) for name, value in values.items()}
    return {name: value for name, value in cleaned.items() if value} | {"link": link}
