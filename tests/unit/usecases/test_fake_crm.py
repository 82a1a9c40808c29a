"""The fake CRM counts and fails as it was told: use-case tests rely on it."""

from __future__ import annotations

import asyncio

import pytest

from broker.domain.call import Phone, Reference
from broker.domain.customer import Customer
from broker.domain.errors import TemporaryError
from broker.ports import Clock
from broker.testing.fake_crm import FakeCrm

BERLIN = Phone.from_e164("+493023125001")
ADA = Customer("1")


class Slept(Clock):
    """A clock on which sleeping takes no time and is remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_it_remembers_what_it_was_asked_and_takes_its_time_on_the_clock() -> None:
    clock = Slept()
    crm = FakeCrm(clock, delay_s=2.5)
    crm.add(ADA, BERLIN.e164, references=["1000001"])
    assert await crm.find_by_phone(BERLIN) == (ADA,)
    assert await crm.find_by_reference(Reference("1000001")) == (ADA,)
    assert await crm.find_by_reference(Reference("1000002")) == ()
    assert crm.asked == [BERLIN.e164, "1000001", "1000002"]
    assert clock.slept == [2.5, 2.5, 2.5]
    assert (crm.answered, crm.cancelled) == (3, 0)


async def test_it_fails_as_often_as_it_was_told() -> None:
    crm = FakeCrm(Slept())
    crm.add(ADA, BERLIN.e164)
    crm.fail(TemporaryError("down"), None)
    with pytest.raises(TemporaryError):
        await crm.find_by_phone(BERLIN)
    assert await crm.find_by_phone(BERLIN) == (ADA,)
    assert await crm.find_by_phone(BERLIN) == (ADA,)


async def test_it_holds_its_answers_and_counts_who_gave_up() -> None:
    crm = FakeCrm(Slept())
    crm.add(ADA, BERLIN.e164)
    crm.hold()
    patient, impatient = (asyncio.create_task(crm.find_by_phone(BERLIN)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait({impatient})
    crm.release()
    assert await patient == (ADA,)
    assert (crm.answered, crm.cancelled) == (1, 1)
