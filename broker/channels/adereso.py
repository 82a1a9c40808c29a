"""The channel `adereso`: Adereso sends an approved WhatsApp message and opens a ticket for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from broker.channels.words import one_line, texts_in
from broker.domain.recipients import Recipients
from broker.sdk import (
    Channel,
    ConfigError,
    FixedHeaders,
    JsonClient,
    Options,
    PermanentError,
    Phone,
    Region,
    handed_over,
    values_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from broker.sdk import Envelope, Reply, VendorTemplate

_NAME = "adereso"
_REFUSED = frozenset({400, 403, 404, 422})
_PLACES = ("user", "ticket")


def _number(value: str) -> str:
    phone = Phone.read(f"+{value.strip().removeprefix('+')}")
    if phone is None:
        raise ValueError("must be a number with its country code, such as 56976591992")
    return phone.digits


class AderesoOptions(Options):
    """`[channels.<name>]` with `driver = "adereso"`."""

    base_url: str = "https://ivrd.desk.adere.so"
    api_token: SecretStr
    business_phone: Annotated[str, AfterValidator(_number)]
    """The number that sends; it has to be connected to Adereso Desk."""
    countries: frozenset[Region] = Field(min_length=1)
    """Whose numbers are written to."""
    team_id: int | None = Field(None, gt=0)
    """The department that gets the ticket."""
    timeout_ms: int = Field(15_000, gt=0)


class AderesoChannel(Channel):
    """Sends by `POST /`; not keyed, so a lost answer is never sent again."""

    options_type = AderesoOptions
    reaches = "phone"
    needs_template = True

    def __init__(self, options: AderesoOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = Recipients(options.countries, any_line=True)
        token = options.api_token.get_secret_value().strip()
        if not token:
            raise ConfigError("adereso: api_token is empty")
        auth = FixedHeaders({"Authorization": f"Key {token}"}, name=_NAME)
        self._client = JsonClient(http, options.base_url, name=_NAME, auth=auth)

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """Adereso's id, if its answer has one; see `Channel`."""
        body = {
            "business_phone": self._options.business_phone,
            "recipient_phone": envelope.to.removeprefix("+"),
            "template_name": _template_name(envelope),
            **_metadata(envelope.data),
        }
        if self._options.team_id is not None:
            body["team_id"] = self._options.team_id
        within = min(within, self._options.timeout_ms / 1000)
        reply = await handed_over(self._client, "", json=body, within=within, accept=_REFUSED)
        return _taken(reply) if reply is not None else None

    async def check(self, templates: Sequence[VendorTemplate]) -> Sequence[str]:
        """Templates with parameters: Desk fills them itself. It cannot be asked for more."""
        filled = [template.name for template in templates if template.parameters]
        return [f"adereso: the template {name} can be given no parameters" for name in filled]

    async def ping(self) -> str:
        """Nothing is sent: Adereso offers nothing to ask, and whatever reaches it is a message."""
        where = ", ".join(sorted(self._options.countries))
        return f"sends to {where}; not tried, a try would be a message"


def _template_name(envelope: Envelope) -> str:
    template = envelope.template
    if template is None:
        raise PermanentError("adereso: there is no template for this message")
    if template.parameters:
        raise PermanentError("adereso: a template can be given no parameters")
    return template.name


def _metadata(data: Mapping[str, str]) -> dict[str, Any]:
    """`user.tier` and `ticket.topic` become what Desk calls `tier` and `topic`."""
    places: dict[str, dict[str, str]] = {}
    for key, value in data.items():
        place, _, name = key.partition(".")
        if place in _PLACES and name and (text := one_line(value)):
            places.setdefault(place, {})[name] = text
    return {"metadata": places} if places else {}


def _taken(reply: Reply) -> str | None:
    """PermanentError if it was not; a failure may also come with 200."""
    if reply.status in _REFUSED:
        raise PermanentError(f"adereso: refused (HTTP {reply.status})")
    if values_at(reply.body, "success") == [False]:
        raise PermanentError("adereso: refused (success is false)")
    ids = [*values_at(reply.body, "id"), *values_at(reply.body, "deflection_id")]
    return next(texts_in(ids), None)
