"""The tables that forbid messages: what they may hold, and what the domain gets of them."""

from __future__ import annotations

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from broker.domain.caps import Caps
from broker.domain.opt_outs import Keyword
from broker.domain.quiet_hours import QuietHours
from broker.settings.guards import CapsSettings, QuietHoursSettings, WordsSettings

NIGHT = {"begins": "21:00", "ends": "08:00", "zone": "Europe/Berlin"}


def test_numbers_are_capped_and_nights_are_not_quiet_unless_somebody_says_so() -> None:
    assert CapsSettings().caps() == Caps(3, 10)
    assert QuietHoursSettings().hours() is None


def test_tables_become_what_the_domain_decides_by() -> None:
    caps = {"per_hour": 500, "spend_per_day": 25, "prices": {"sms": 0.08}}
    expected = Caps(per_hour=500, spend_per_day=25.0, prices={"sms": 0.08})
    assert CapsSettings.model_validate(caps).caps() == expected
    night = NIGHT | {"then": "next_channel", "channels": ["sms"]}
    assert QuietHoursSettings.model_validate(night).hours() == QuietHours(
        time(21), time(8), ZoneInfo("Europe/Berlin"), "next_channel", frozenset({"sms"})
    )
    words = WordsSettings(stop=("Keine Post!",), help=("Hä",)).words()
    assert [words.keyword(text) for text in ("keine post", "HÄ")] == [Keyword.STOP, Keyword.HELP]


@pytest.mark.parametrize(
    ("model", "table", "problem"),
    [
        (CapsSettings, {"per_number_per_day": 0}, "greater than 0"),
        (CapsSettings, {"spend_per_day": True, "prices": {"sms": 1}}, "must be a number"),
        (CapsSettings, {"spend_per_day": 25}, "needs both"),
        (CapsSettings, {"prices": {"sms": 0.1}}, "needs both"),
        (CapsSettings, {"spend_per_day": 25, "prices": {"sms": 0}}, "greater than 0"),
        (QuietHoursSettings, {"begins": "21:00"}, "needs begins, ends and zone"),
        (QuietHoursSettings, NIGHT | {"begins": "24:00"}, "time of day"),
        (QuietHoursSettings, NIGHT | {"ends": "8:00"}, "time of day"),
        (QuietHoursSettings, NIGHT | {"zone": "Berlin"}, "must be a zone"),
        (QuietHoursSettings, NIGHT | {"zone": "../etc/passwd"}, "must be a zone"),
        (WordsSettings, {"stop": ["!"]}, "letter or a digit"),
    ],
)
def test_table_that_means_nothing_is_refused(
    model: type[Any], table: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        model.model_validate(table)
