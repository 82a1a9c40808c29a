"""Approved WhatsApp templates: filling them, and seeing beforehand whether that will do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from broker.channels.words import objects_at, one_line, texts_in
from broker.sdk import PermanentError, values_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sdk import VendorTemplate

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def filled(template: VendorTemplate, media_url: str | None) -> dict[str, Any]:
    """The `template` of a message; PermanentError if Meta would refuse it in any case."""
    if template.language is None:
        raise PermanentError("whatsapp: the template has no language")
    texts = [one_line(parameter) for parameter in template.parameters]
    if not all(texts):
        raise PermanentError("whatsapp: a parameter of the template is empty")
    components: list[dict[str, Any]] = []
    if media_url is not None:
        image = {"type": "image", "image": {"link": media_url}}
        components.append({"type": "header", "parameters": [image]})
    if texts:
        body = [{"type": "text", "text": text} for text in texts]
        components.append({"type": "body", "parameters": body})
    language = {"policy": "deterministic", "code": template.language}
    filled = {"name": template.name, "language": language}
    return {**filled, "components": components} if components else filled


def fault(template: VendorTemplate, listed: object, *, pictured: bool) -> str | None:
    """Why it cannot be sent, going by Meta's list of templates; None if it can."""
    named = [one for one in objects_at(listed, "data[*]") if one.get("name") == template.name]
    known = {str(one.get("language")): one for one in named}
    if not known:
        return "is unknown to Meta"
    if template.language not in known:
        return f"is there in {', '.join(sorted(known))} only, not in {template.language}"
    approved = known[template.language]
    if approved.get("status") != "APPROVED":
        return f"is not approved ({one_line(str(approved.get('status')))})"
    parts = {str(part.get("type")): part for part in objects_at(approved, "components[*]")}
    return _body_fault(parts, len(template.parameters)) or _other_fault(parts, pictured=pictured)


def _body_fault(parts: Mapping[str, Any], parameters: int) -> str | None:
    wanted = set(_PLACEHOLDER.findall(" ".join(texts_in(values_at(parts, "BODY.text")))))
    if not all(name.strip().isdecimal() for name in wanted):
        return "has placeholders with names; only {{1}}, {{2}} ... can be filled"
    if len(wanted) != parameters:
        return f"has {len(wanted)} placeholders, but gets {parameters} parameters"
    return None


def _other_fault(parts: Mapping[str, Any], *, pictured: bool) -> str | None:
    outside = [*values_at(parts, "HEADER.text"), *values_at(parts, "BUTTONS.buttons[*].url")]
    if any(_PLACEHOLDER.search(text) for text in texts_in(outside)):
        return "has a placeholder in its header or a button, which cannot be filled"
    header = next(texts_in(values_at(parts, "HEADER.format")), "TEXT")
    if header not in {"TEXT", "IMAGE"}:
        return f"has a header that cannot be filled ({one_line(header)})"
    if (header == "IMAGE") is not pictured:
        return (
            f"has {'a' if header == 'IMAGE' else 'no'} picture in its header: see image_templates"
        )
    return None
