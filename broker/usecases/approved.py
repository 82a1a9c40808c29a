"""The approved messages that settings name, asked of their providers before anybody needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.ports import VendorTemplate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.domain.message_templates import Approved, MessageTemplate
    from broker.ports import Channel


def approved_messages(
    templates: Iterable[MessageTemplate],
) -> Mapping[str, Sequence[VendorTemplate]]:
    """Channel -> every message that it may be given; of its parameters only the number counts."""
    found: dict[str, dict[VendorTemplate, None]] = {}
    for template in templates:
        for channel, approved in template.approved.items():
            found.setdefault(channel, {}).update(dict.fromkeys(_in_all_languages(approved)))
    return {channel: list(messages) for channel, messages in found.items()}


async def approved_faults(channel: Channel, messages: Sequence[VendorTemplate]) -> Sequence[str]:
    """Why the channel cannot send these, a sentence for each fault; errors as of its `ping`."""
    if channel.needs_template and not messages:
        return ["sends approved messages only, and no deflection template names one for it"]
    return await channel.check(messages)


def _in_all_languages(approved: Approved) -> Iterable[VendorTemplate]:
    languages: Iterable[str | None] = approved.languages.values() or (None,)
    return (VendorTemplate(approved.name, one, approved.parameters) for one in languages)
