"""How the sandbox can misbehave: the body of `PUT /_sandbox/faults`, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Times = Annotated[int, Field(ge=1)]
Part = Literal["platform", "crm", "webhook", "twilio", "whatsapp", "fcm", "adereso"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HttpFault(_Strict):
    """What an HTTP part does instead of, or before, its normal answer."""

    path: str = "/"
    """Only requests whose path starts so."""
    times: Times | None = None
    """Only the next so many of these requests; None = all."""
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    """Wait before anything else happens."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """Answer with this error; the request has no effect."""
    retry_after_s: Annotated[int, Field(ge=0)] | None = None
    """`Retry-After` of that error."""
    answer: Literal["reset", "cut", "html", "unsuccessful"] | None = None
    """`reset`: the connection is reset, no effect. `cut`: the request takes effect, then the
    connection is reset in the middle of the answer. `html`: 200 with a page, no effect.
    `unsuccessful`: 200 with `{"success": false}`, no effect."""

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.status is not None and self.answer is not None:
            raise ValueError("give status or answer, not both")
        if self.retry_after_s is not None and self.status is None:
            raise ValueError("retry_after_s needs a status")
        return self


class PlatformFault(HttpFault):
    """The platform also has modes, for what its documentation leaves open."""

    call_id_is_session: bool = False
    """A call's id is taken where a session's id is asked for."""
    session_data: Literal["flat", "nested", "text"] = "flat"
    """How a session shows its variables: `{"ivr.route": ..}`, `{"ivr": {"route": ..}}`, or the
    flat form as a JSON string."""


class TwilioFault(HttpFault):
    """Twilio also refuses single recipients, and takes messages that it cannot deliver.

    Recipients are spelled as in a request, `+49...` or `whatsapp:+49...`; `*` and `whatsapp:*` are
    everybody by SMS and by WhatsApp. The codes are Twilio's.
    """

    refuse: Mapping[str, int] = {}
    """Recipient -> the code of a 400 at once, such as 21211 or 63016."""
    undelivered: Mapping[str, int] = {}
    """Recipient -> the code in the receipt of a message that was taken."""
    receipts: Literal["once", "twice", "reversed", "none"] = "once"
    """How receipts come: each twice, the last first, or not at all."""


class WhatsAppFault(HttpFault):
    """WhatsApp also takes messages that it cannot deliver."""

    undeliverable: tuple[str, ...] = ()
    """Numbers without WhatsApp, or `*` for all: a message is taken, and fails with 131026."""


class SmtpFault(_Strict):
    """What the mail server does instead of taking a mail."""

    mode: Literal["greylist", "reject", "drop", "hang"]
    """`greylist`: 451 to RCPT. `reject`: 550 to RCPT. `drop`: takes the mail, then closes the
    connection instead of saying 250. `hang`: never answers RCPT."""
    times: Times | None = None
    """Only for the next so many recipients (`drop`: mails); None = all."""


class FaultPlan(_Strict):
    """A part that is left out works normally."""

    platform: PlatformFault = PlatformFault()
    crm: HttpFault = HttpFault()
    webhook: HttpFault = HttpFault()
    twilio: TwilioFault = TwilioFault()
    whatsapp: WhatsAppFault = WhatsAppFault()
    fcm: HttpFault = HttpFault()
    adereso: HttpFault = HttpFault()
    smtp: SmtpFault | None = None


@dataclass(slots=True)
class Faults:
    """The plan in force and how often each part has used it."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    _used: dict[str, int] = field(default_factory=dict)

    def set(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._used.clear()

    @property
    def undeliverable(self) -> tuple[str, ...]:
        """Who has no WhatsApp."""
        return self.plan.whatsapp.undeliverable

    def take_http(self, part: Part, path: str) -> HttpFault:
        """What to do to the request for `path`; counts it."""
        fault: HttpFault = getattr(self.plan, part)
        return fault if path.startswith(fault.path) and self._take(part, fault) else HttpFault()

    def take_smtp(self, *modes: str) -> str | None:
        """The mode in force, if it is one of `modes`; counts it."""
        fault = self.plan.smtp
        if fault is None or fault.mode not in modes or not self._take("smtp", fault):
            return None
        return fault.mode

    def _take(self, part: str, fault: HttpFault | SmtpFault) -> bool:
        used = self._used[part] = self._used.get(part, 0) + 1
        return fault.times is None or used <= fault.times
