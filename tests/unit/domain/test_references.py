"""What a reference counts against, before it is looked up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.domain.customer import LookupState
from broker.domain.record import CallData
from broker.domain.references import Limit, ReferenceLimits

if TYPE_CHECKING:
    from tests.unit.domain.conftest import Story

LIMITS = ReferenceLimits(failures_per_caller_per_day=5, failures_per_called_per_10min=200)


def limits(story: Story, called: str | None = "+491713920000") -> dict[str, Limit]:
    record = replace(story.record, data=CallData(to=called))
    return {limit.key.partition(":")[0]: limit for limit in LIMITS.of(record)}


def test_a_caller_may_fail_some_times_a_day(story: Story) -> None:
    caller = limits(story.number())["caller"]
    assert (caller.most, caller.window_s) == (5, 86_400)


def test_first_reference_of_a_call_is_not_refused_for_what_other_callers_did(story: Story) -> None:
    story.number()
    assert limits(story)["called"].most > 1_000_000
    story.reference()
    assert limits(story)["called"].most == 200
    assert limits(story)["called"].window_s == 600


def test_a_refused_first_reference_is_counted_in_the_same_place_as_a_later_one(
    story: Story,
) -> None:
    story.number()
    first = limits(story)["called"]
    story.reference()
    assert limits(story)["called"].key == first.key


def test_callers_without_number_do_not_share_one_limit(story: Story) -> None:
    assert "caller" not in limits(story.number(LookupState.WITHHELD))


def test_without_any_number_nothing_is_counted(story: Story) -> None:
    assert limits(story.number(LookupState.WITHHELD), called=None) == {}


def test_two_callers_of_two_numbers_count_apart(story: Story) -> None:
    story.number()
    one = limits(story)
    story.record = story.record.with_step(replace(story.record.steps[0], value="+493023125002"))
    other = limits(story, called="+491713920001")
    assert one["caller"].key != other["caller"].key
    assert one["called"].key != other["called"].key


def test_no_number_stands_in_the_name_of_a_counter(story: Story) -> None:
    for limit in limits(story.number()).values():
        assert "3023125001" not in limit.key
        assert "1713920000" not in limit.key
