"""A call told step by step, for tests of what each event means for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain import progress
from broker.domain.customer import Customer, LookupResult, LookupState
from broker.domain.messages import TRACKING, Message, Tracking
from broker.domain.progress import Finding, Policy
from broker.domain.record import NUMBER, Over, Record, Session, Step, Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.record import Outcome

ADA = Customer("1", email="ada@example.com", premium=True, track_id="T1", name="Ada")
BOB = Customer("2", email="bob@example.com", premium=False, track_id="T2", name="Bob")
URL = "https://shop.example.com/track/{track_id}"


@dataclass
class Story:
    """One call and what happens to it; `record` is how it stands. Times count up by themselves."""

    ada: Customer = ADA
    """A premium customer."""
    bob: Customer = BOB
    """A standard customer whose order can be tracked."""
    policy: Policy = field(default_factory=lambda: Policy(tracking=Tracking(url_template=URL)))
    now: float = 1000.0
    record: Record = field(init=False)

    def __post_init__(self) -> None:
        self.record = Record(id="call", received_at=self.now, idle_at=self.now + 1800)

    def number(self, preset: LookupState | None = None) -> Story:
        """The call comes in, with a number to look up unless `preset` says how that ends."""
        value = None if preset else "+493023125001"
        step = Step(NUMBER, self._tick(), value, preset=preset)
        self.record = Record(
            id="call",
            received_at=step.received_at,
            idle_at=step.received_at + self.policy.idle_s,
            steps=(step,),
        )
        return self

    def reference(self, value: str = "1000001", **facts: Any) -> str:
        """A reference is typed; the name of its step."""
        name = f"reference-{self.record.tries + 1}"
        step = Step(name, self._tick(), value, **facts)
        self.record = progress.add_reference(self.record, step, self.policy)
        return name

    def found(
        self, name: str, customer: Customer, *, crm: str = "shop", late: bool = False
    ) -> Step:
        """The lookup of this step names `customer`."""
        result = LookupResult(LookupState.FOUND, customer, source=crm)
        return self._decide(name, result, late=late)

    def failed(
        self, name: str, state: LookupState = LookupState.NOT_FOUND, *, late: bool = False
    ) -> Step:
        """The lookup of this step leads to nobody."""
        return self._decide(name, LookupResult(state), late=late)

    def _decide(self, name: str, result: LookupResult, *, late: bool) -> Step:
        finding = Finding(result, ms=12, late=late, session=Session("session", "given"))
        self.record = progress.decide(self.record, name, finding, self.policy, self._tick())
        return self.record.step(name)

    def wrote(
        self,
        name: str,
        written: Written = Written.OK,
        *,
        final: bool = True,
        reason: str | None = None,
    ) -> Step:
        """The session write of this step came to an end."""
        self.record = progress.wrote(
            self.record,
            name,
            written,
            final=final,
            policy=self.policy,
            now=self._tick(),
            reason=reason,
        )
        return self.record.step(name)

    def finish(self, name: str, reason: str | None = None) -> None:
        """Nothing more is to be done for this step."""
        self.record = progress.finish_step(self.record, name, reason)

    def end(self, why: Over = Over.ENDED) -> Outcome | None:
        """The call is over; its outcome, if nothing is pending."""
        self.record = progress.end(self.record, why, self._tick())
        return self.record.outcome

    def request_tracking(self) -> str | None:
        """A later node wants the tracking message; why there is none, as an error code."""
        self.record = progress.request_tracking(self.record, self.policy, self._tick())
        if self.record.message(TRACKING) is not None:
            return None
        return progress.tracking_refusal(self.record, self.policy)

    @property
    def tracking(self) -> Message | None:
        return self.record.message(TRACKING)

    def message(self, change: Callable[..., Record], *facts: Any) -> Message:
        """One of `sending`, `sent`, `not_sent`, `lost` happens to the tracking message."""
        self.record = change(self.record, TRACKING, *facts)
        message = self.record.message(TRACKING)
        assert message is not None
        return message

    def _tick(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def story() -> Story:
    return Story()
