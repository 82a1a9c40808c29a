"""What a rules file says becomes rules, and everything that is wrong with one is told at once."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.errors import ConfigError
from broker.domain.situation import Situation
from broker.settings.rules import read_rules, rules_of

if TYPE_CHECKING:
    from pathlib import Path

    from broker.domain.record import Offered

MONDAY = Situation(
    now=datetime(2026, 11, 23, 9, 0, tzinfo=UTC), channels=("sms", "whatsapp"), prompts_heard=1
)


def decided(text: str, **seen: Any) -> Offered:
    return rules_of(tomllib.loads(text)).decide(replace(MONDAY, **seen))


def faults(text: str, *channels: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        rules_of(tomllib.loads(text), channels or None)
    return list(caught.value.faults)


def rule(text: str) -> str:
    return f'[[rule]]\nname = "it"\noffer = true\n{text}\n'


def test_an_empty_file_offers_nothing() -> None:
    assert decided("").rule == "no_rule"


def test_every_key_of_a_rule_reaches_the_rule() -> None:
    text = """
        open = true
        called = "+49"
        caller = ["+49", "+43"]
        branch = ["billing"]
        reason = "invoice"
        min_ewt_seconds = 60
        max_agents_available = 1
        min_prompts_heard = 2
        premium = false
        tags = "b2b"
        first_call = true
        deflected_before = false
        preferred_channel = "sms"
        min_calls_now = 10
        share = 0.5
        channels = "sms"
        text = { en = "{minutes} minutes" }"""
    fitting: dict[str, Any] = {
        "open": True,
        "called": "+4930",
        "caller": "+4315",
        "branch": "billing",
        "reason": "invoice",
        "ewt_seconds": 61.0,
        "agents_available": 0,
        "prompts_heard": 2,
        "premium": False,
        "tags": ("b2b",),
        "first_call": True,
        "deflected_before": False,
        "preferred_channel": "sms",
        "calls_now": 10,
        "share_point": 0.4,
    }
    offer = decided(rule(text), **fitting)
    assert (offer.rule, offer.channels, offer.text) == ("it", ("sms",), "2 minutes")
    wrong = {"prompts_heard": 1, "share_point": 0.5, "tags": ()}
    for key in fitting:
        assert not decided(rule(text), **{**fitting, key: wrong.get(key)}).offer, key


def test_the_first_action_is_no_offer_unless_a_rule_or_the_file_says_so() -> None:
    assert decided(rule(""), prompts_heard=0).rule == "first_action"
    assert decided(rule("first_action = true"), prompts_heard=0).offer
    assert decided(rule("min_prompts_heard = 0"), prompts_heard=0).offer
    assert decided("min_prompts_heard = 0\n" + rule(""), prompts_heard=0).offer
    assert decided("min_prompts_heard = 3\n" + rule(""), prompts_heard=2).rule == "first_action"
    assert decided("min_prompts_heard = 3\n" + rule("min_prompts_heard = 2"), prompts_heard=2).offer


def test_a_rule_that_offers_nothing_waits_for_no_prompt() -> None:
    text = '[[rule]]\nname = "vip"\noffer = false\npremium = true\n' + rule("")
    assert decided(text, premium=True, prompts_heard=0).rule == "vip"


def test_offer_may_be_forced() -> None:
    assert decided('[[rule]]\nname = "night"\noffer = "forced"').forced


HOURS = """
    hours = "Mo-Fr 08:00-18:00; PH off"
    zone = "Europe/Berlin"
    country = "DE"
    [called."+44"]
    zone = "Europe/London"
    country = "GB"
    [called."+4420"]
    hours = "Mo-Su 00:00-24:00"
    """


@pytest.mark.parametrize(
    ("called", "now", "is_open"),
    [
        ("+4930", datetime(2026, 11, 23, 17, 30, tzinfo=UTC), False),
        ("+44113", datetime(2026, 11, 23, 17, 30, tzinfo=UTC), True),  # London's clock
        ("+44113", datetime(2025, 12, 26, 10, 0, tzinfo=UTC), False),  # Boxing Day
        ("+44113", datetime(2026, 12, 28, 10, 0, tzinfo=UTC), False),  # the day instead of it
        ("+4930", datetime(2026, 12, 28, 10, 0, tzinfo=UTC), True),
        ("+4420", datetime(2026, 11, 22, 3, 0, tzinfo=UTC), True),  # its own hours
        (None, datetime(2026, 11, 23, 10, 0, tzinfo=UTC), True),
    ],
)
def test_each_called_number_has_hours_zone_and_holidays_of_its_own(
    called: str | None, now: datetime, is_open: bool
) -> None:
    assert decided(HOURS + rule("open = true"), called=called, now=now).offer is is_open
    assert decided(HOURS + rule("open = false"), called=called, now=now).offer is not is_open


def test_hours_of_a_rule_go_by_the_clock_of_the_called_number_or_its_own() -> None:
    half_past_five = datetime(2026, 11, 23, 17, 30, tzinfo=UTC)
    late = rule('hours = "18:00-20:00"')
    assert decided(HOURS + late, called="+4930", now=half_past_five).offer
    assert not decided(HOURS + late, called="+44113", now=half_past_five).offer
    own = rule('hours = "18:00-20:00"\nzone = "Europe/Paris"')
    assert decided(HOURS + own, called="+44113", now=half_past_five).offer
    outside = rule('hours = "18:00-20:00"\nopen = false')
    assert decided(HOURS + outside, called="+44113", now=half_past_five).offer


def test_hours_of_a_rule_say_nothing_of_a_line_whose_zone_is_unknown() -> None:
    text = '[called."+44"]\nzone = "Europe/London"\n' + rule('hours = "00:00-24:00"')
    assert decided(text, called="+4420").offer
    assert not decided(text, called="+4930").offer


def test_the_platforms_word_counts_where_the_file_has_no_hours() -> None:
    assert decided(rule("open = false"), open=False).offer
    assert not decided(rule("open = false"), open=None).offer


def test_never_reasons_channels_and_languages_are_those_of_the_file() -> None:
    general = 'never_reasons = "Fraud"\nchannels = ["whatsapp", "sms"]\nlanguage = "de"\n'
    general += '[called."+44"]\nlanguage = "en"\n'
    text = general + rule('text = { es = "hola", en = "hello", de = "hallo" }')
    assert decided(text, reason="fraud").rule == "never_reason"
    assert decided(text).channels == ("whatsapp", "sms")
    assert [decided(text, called=number).text for number in ("+44", "+49")] == ["hello", "hallo"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("chanels = []", "chanels: unknown key; did you mean channels?"),
        ('zone = "Europe/Berln"', "zone: there is no such time zone; an example: Europe/Berlin"),
        ('[called.one]\nlanguage = "de"', "called.one: must match pattern '^\\+?[0-9]{1,15}$'"),
        ('hours = "Mo 8-9"', "hours: is not understood at character 4"),
        ('hours = "Mo-Fr 08:00-18:00"', "hours: needs a zone"),
        ('[called."1"]\nhours = "Mo-Fr 08:00-18:00"', "hours: needs a zone"),
        ('hours = "PH off"\nzone = "Europe/Rome"', "hours: PH needs to know the country"),
        ("rule = 3", "rule: must be written as [[rule]]"),
        ("[rule]\nname = 'x'", "rule: must be written as [[rule]]"),
        ("[[rule]]\noffer = true", "rule.1.name: is missing"),
        ('[[rule]]\nname = "it"', "rule.it.offer: is missing"),
        ('[[rule]]\nname = "no_rule"\noffer = true', "answers with"),
        ('[[rule]]\nname = "it"\noffer = 1', 'rule.it.offer: must be true, false or "forced"'),
        (rule("premum = true"), "rule.it.premum: unknown key; did you mean premium?"),
        (rule('premium = "yes"'), "rule.it.premium: must be true or false"),
        (rule("share = 1.5"), "rule.it.share: must be less than or equal to 1"),
        (rule("min_prompts_heard = -1"), "rule.it.min_prompts_heard: must be greater than"),
        (rule("branch = []"), "rule.it.branch: "),
        (rule('reason = " "'), "rule.it.reason"),
        (rule('called = "sales"'), "rule.it.called"),
        (rule('hours = "Mo 08:00-09:00"'), "rule.it.hours: needs a zone"),
        (rule('zone = "Europe/Rome"'), "rule.it.zone: has no effect without hours"),
        (rule("first_action = true\nmin_prompts_heard = 1"), "rule.it.first_action: contradicts"),
        (rule('text = { en = "{name}" }'), "rule.it.text.en: knows no other placeholder"),
        (rule('text = { en = "{minutes}" }'), "rule.it.text: has {minutes}, so the rule needs"),
        (rule(f'text = {{ en = "{"x" * 257}" }}'), "rule.it.text.en: must be one line of at most"),
        (rule('text = { en = "a\\nb" }'), "rule.it.text.en: must be one line of at most"),
        (rule('text = { english = "x" }'), "rule.it.text.english"),
        (rule("") + rule(""), "rule.it.name: is the name of another rule as well"),
        (
            rule("first_action = true") + '[[rule]]\nname = "b"\noffer = false',
            "rule.b: is never reached: rule.it always decides",
        ),
        (
            '[[rule]]\nname = "b"\noffer = false\ntext = { en = "x" }',
            "rule.b.text: has no effect in a rule that offers nothing",
        ),
    ],
)
def test_a_fault_names_its_rule_and_key(text: str, fault: str) -> None:
    told = faults(text)
    assert len(told) == 1
    assert fault in told[0]


def test_a_channel_that_does_not_exist_is_a_fault() -> None:
    text = 'channels = ["sms", "fax"]\n' + rule('channels = ["pigeon"]')
    assert faults(text, "sms", "email") == [
        "channels: names a channel that does not exist (known: email, sms)",
        "rule.it.channels: names a channel that does not exist (known: email, sms)",
    ]


def test_all_faults_are_told_at_once_with_the_file() -> None:
    text = 'zone = "x"\ncolour = 1\n[called."+44"]\nhours = "Mo-Fx"\n' + rule('hours = "8"')
    text += '[[rule]]\noffer = "maybe"\nshare = 2'
    assert len(faults(text)) == 7


def test_a_rule_that_waits_for_a_prompt_hides_nothing_behind_it() -> None:
    text = rule("") + '[[rule]]\nname = "b"\noffer = false'
    assert decided(text, prompts_heard=0).rule == "b"
    assert decided(text, prompts_heard=1).rule == "it"


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("zone = \n")
    with pytest.raises(ConfigError, match=r"rules\.toml is no valid TOML \(at line 1, column 8\)"):
        read_rules(path)
    path.write_text("zone = 1")
    with pytest.raises(ConfigError, match=r"rules\.toml: zone: must be a text"):
        read_rules(path)
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_rules(tmp_path / "none.toml")
