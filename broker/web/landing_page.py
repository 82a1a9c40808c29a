"""The landing page of a deflection link as HTML: buttons, in three languages, no script."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from broker.domain.languages import nearest_or_any

if TYPE_CHECKING:
    from broker.usecases.landing import Choice, Opened

_HEADING = {
    "en": "How would you like to go on?",
    "de": "Wie möchten Sie weitermachen?",
    "es": "¿Cómo quiere continuar?",
}
_ANSWER = {
    "en": "Please answer the message in which you found this link.",
    "de": "Bitte antworten Sie auf die Nachricht mit diesem Link.",
    "es": "Responda, por favor, al mensaje en el que encontró este enlace.",
}
_GET_IT = {
    "en": "Get it in {store}",
    "de": "Bei {store} laden",
    "es": "Descargar en {store}",
}
_STYLE = (
    "body{font:1.1em/1.5 system-ui,sans-serif;max-width:24em;margin:3em auto;padding:0 1em}"
    "ul{list-style:none;padding:0}li{margin:1em 0}"
    "li>a:first-child{display:block;padding:.8em;border:2px solid;border-radius:.5em;"
    "text-align:center;text-decoration:none;font-weight:600}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: nothing but this one style."""


def page(opened: Opened) -> str:
    """All of it; every link and label is quoted."""
    language = nearest_or_any({name: name for name in _HEADING}, opened.language)
    heading = _HEADING[language]
    items = "".join(f"<li>{_item(choice, language)}</li>\n" for choice in opened.choices)
    body = f"<ul>\n{items}</ul>" if items else f"<p>{_ANSWER[language]}</p>"
    return f"""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{heading}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>{_STYLE}</style></head>
<body><main><h1>{heading}</h1>
{body}</main></body></html>
"""


def _item(choice: Choice, language: str) -> str:
    button = _anchor(choice.link, choice.label)
    if choice.store is None:
        return button
    name, link = choice.store
    return f"{button} {_anchor(link, _GET_IT[language].format(store=name))}"


def _anchor(link: str, label: str) -> str:
    return f'<a rel="noopener noreferrer" href="{escape(link)}">{escape(label)}</a>'
