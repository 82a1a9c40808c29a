"""What one message counts against."""

from __future__ import annotations

import pytest

from broker.domain.caps import SPEND, Caps
from broker.domain.guards import Forbidden

TO, NEIGHBOUR, STRANGER = "+4915123456789", "+4915123456000", "+4915123446789"


def test_number_and_its_range_are_counted_without_standing_in_the_key() -> None:
    number, range_ = Caps().of(TO, "sms")
    assert (number.limit.most, number.limit.window_s, number.reason) == (3, 86_400, "cap_number")
    assert (range_.limit.most, range_.limit.window_s, range_.reason) == (10, 600, "cap_prefix")
    assert not any(TO[:-4].strip("+") in cap.limit.key for cap in (number, range_))


def test_neighbours_share_the_range_and_nothing_else() -> None:
    keys = [[cap.limit.key for cap in Caps().of(to, "sms")] for to in (TO, NEIGHBOUR, STRANGER)]
    assert keys[0][1] == keys[1][1] != keys[2][1]
    assert len({number for number, _ in keys}) == 3


def test_money_is_counted_by_the_price_of_the_channel() -> None:
    caps = Caps(spend_per_day=25.0, prices={"sms": 0.0079})
    spend = caps.of(TO, "sms")[-1]
    assert (spend.limit.key, spend.limit.most, spend.by) == (SPEND, 25_000_000, 7_900)
    assert spend.reason is Forbidden.CAP_SPEND
    assert [cap for cap in caps.of(TO, "push") if cap.limit.key == SPEND] == []
    assert caps.spent(12_500_000) == pytest.approx(0.5)
    assert Caps().spent(12_500_000) == 0


def test_all_messages_together_may_have_a_cap() -> None:
    (cap,) = Caps(per_hour=7).of("push-token", "push")
    assert (cap.limit.most, cap.reason) == (7, Forbidden.CAP_FREQUENCY)


def test_email_is_not_capped() -> None:
    caps = Caps(per_hour=1, spend_per_day=1.0, prices={"email": 1.0})
    assert caps.of("ada@shop.example", "email") == ()
