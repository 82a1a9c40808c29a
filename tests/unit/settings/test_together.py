"""Settings that are fine alone and do not go together."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from broker.settings import from_mapping

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf, Tables

KEY, OTHER_KEY = "k" * 16, "o" * 16
CLIENT = {"clients": {"ivr": {"key": KEY}}}
TRACK = "https://shop.example/{track_id}"
HOOK = {
    "hook": {
        "driver": "webhook",
        "url": "https://hooks.example",
        "secret": f"whsec_{'a' * 32}",
        "lost_answer": "hold",
    }
}
SMS = {
    "sms": {
        "driver": "twilio",
        "account_sid": "AC" + "0" * 32,
        "auth_token": "t",
        "sender": "+4915735980000",
        "countries": ["DE"],
    }
}
APP = {"app": {"driver": "tests.unit.settings.conftest:AppChannel"}}
NIGHT = {"begins": "21:00", "ends": "08:00", "zone": "Europe/Berlin"}
NO_PIGEON = "tracking.channel: there is no such channel (known: email, hook)"
HERE = "tests.unit.settings.conftest"
SHOP = {"adapter": f"{HERE}:ShopAdapter"}


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"crm": {}}, "crm: there is no"),
        ({"crm": {"a": SHOP | {"shadow": True}}}, "crm: has only shadows"),
        ({"crm": {"a": SHOP | {"shadow": "maybe"}}}, "crm.a.shadow: must be true or false"),
        ({"lookup": {"late_ms": 1000}}, "lookup.late_ms: is shorter"),
        ({"lookup": {"useful_s": 4}}, "lookup.useful_s: is shorter"),
        ({"lookup": {"deadline_ms": 3500}}, "platform.deadline_ms: must be longer"),
        ({"privacy": {"log_numbers": "hashed"}}, "privacy.hash_key: is missing"),
        ({"store": {"call_idle_s": 90_000}}, "store.call_idle_s: is longer"),
        ({"tracking": {"url_template": TRACK, "link": "direct"}}, "smtp: is missing"),
        (
            {"tracking": {"url_template": TRACK, "email": {"when": "never"}}},
            "server.public_url: is missing",
        ),
        ({"server": {"host": "192.0.2.1"} | CLIENT}, "store.url: memory:// loses every call"),
        ({"reference": {"alphabet": "keypad"}}, "crm.shop.adapter: cannot find"),
        ({"tracking": {"channel": "pigeon"}, "channels": HOOK}, NO_PIGEON),
        (
            {
                "channels": SMS,
                "deflection": {"templates": {"long": {"texts": {"de": "{link} ä€" * 40}}}},
            },
            "deflection.templates.long.texts: de: is longer than max_segments = 3",
        ),
        ({"tracking": {"channel": "app"}, "channels": APP}, "tracking.channel: is for apps"),
        ({"channels": {"email": HOOK["hook"]}}, "channels.email: is no place for the channel"),
        ({"channels": {"mail": {"driver": "email"}}}, "channels.mail: is no place for the"),
        ({"channels": {"hook": {}}}, "channels.hook.driver: is missing"),
        ({"channels": {"hook": {"driver": "hook"}}}, "channels.hook.driver: no plug-in of"),
        ({"channels": {"hook": HOOK["hook"] | {"uri": 1}}}, "channels.hook.uri: unknown key"),
        ({"channels": {"hook": HOOK["hook"] | {"secret": "k"}}}, "channels.hook.secret: must be"),
        ({"channels": {"hook": HOOK["hook"] | {"lost_answer": "x"}}}, "channels.hook.lost_answer"),
        (
            {"deflection": {"caps": {"spend_per_day": 5, "prices": {"pigeon": 1}}}},
            "deflection.caps.prices: there is no channel pigeon",
        ),
        ({"deflection": {"caps": {"spend_per_day": 5}}}, "deflection.caps: needs both"),
        (
            {"deflection": {"quiet_hours": NIGHT}, "privacy": {"retention_h": 11}},
            "deflection.quiet_hours: is no shorter than privacy.retention_h",
        ),
        (
            {
                "deflection": {"channels": ["hook"], "look_back_h": 11, "quiet_hours": NIGHT},
                "channels": HOOK,
                "server": {"public_url": "https://broker.example"},
            },
            "deflection.quiet_hours: is no shorter than deflection.look_back_h",
        ),
        (
            {"deflection": {"quiet_hours": NIGHT | {"channels": ["pigeon"]}}},
            "deflection.quiet_hours.channels: there is no channel pigeon",
        ),
        ({"deflection": {"quiet_hours": {"ends": "08:00"}}}, "deflection.quiet_hours: needs"),
    ],
)
def test_what_does_not_go_together_stops_the_start(
    sections: dict[str, Any], told: str, faults_of: FaultsOf
) -> None:
    [fault] = faults_of(**sections)
    assert fault.startswith(told)


@pytest.mark.parametrize(
    "sections",
    [
        {"tracking": {"url_template": TRACK, "link": "direct", "email": {"sent_by": "platform"}}},
        {
            "tracking": {"url_template": TRACK, "link": "direct", "channel": "hook"},
            "channels": HOOK,
        },
        {"server": {"host": "192.0.2.1"} | CLIENT, "store": {"allow_memory": True}},
        {"server": {"host": "192.0.2.1"} | CLIENT, "store": {"url": "redis://store"}},
        {"server": {"host": "::1"} | CLIENT},
        {"reference": {"alphabet": "keypad", "enabled": False}},
        {"reference": {"alphabet": "keypad"}, "crm": {"a": {"adapter": f"{HERE}:FoldingAdapter"}}},
        {"platform": {"driver": f"{HERE}:AnsweringPlatform", "deadline_ms": 10}},
        {"crm": {"a": SHOP, "b": SHOP | {"shadow": True}}},
    ],
)
def test_what_goes_together_starts(sections: dict[str, Any], faults_of: FaultsOf) -> None:
    assert faults_of(**sections) == []


def test_memory_needs_the_embedded_store(
    faults_of: FaultsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)  # what Python sees if it is not installed
    assert faults_of() == ['store.url: memory:// needs the extra "embedded" to be installed']
    assert faults_of(store={"url": "redis://store"}) == []


def test_two_clients_never_share_a_key(faults_of: FaultsOf) -> None:
    clients = {"ivr": {"key": KEY}, "other": {"key": OTHER_KEY}, "second": {"key": KEY}}
    assert faults_of(server={"clients": clients}) == [
        "server.clients.second.key: is also the key of the client ivr"
    ]


@pytest.mark.parametrize(
    ("cache", "faults"),
    [
        ({"found_s": 60, "not_found_s": 10, "fields": {"premium": 86400, "track_id": 60}}, []),
        ({"fields": {"premium": 86400}, "not_found_s": 10}, []),
        (
            {"found_s": 60, "fields": {"premium": 59}},
            ["crm.shop.cache.fields.premium: is shorter than found_s, which covers it"],
        ),
        (
            {"found_s": 60, "not_found_s": 61},
            ["crm.shop.cache.not_found_s: is longer than a customer who was found is kept"],
        ),
        (
            {"found_s": 604_801},
            ["crm.shop.cache.found_s: must be less than or equal to 604800"],
        ),
        ({"found_s": True}, ["crm.shop.cache.found_s: must be a number"]),
        ({"foundS": 1}, ["crm.shop.cache.foundS: unknown key; did you mean found_s?"]),
    ],
)
def test_a_cache_keeps_nobody_for_longer_than_somebody(
    cache: dict[str, Any], faults: list[str], tables: Tables, faults_of: FaultsOf
) -> None:
    shop = tables()["crm"]["shop"]
    assert faults_of(crm={"shop": shop | {"cache": cache}}) == faults


@pytest.mark.parametrize(
    ("fields", "key", "short"),
    [
        ({"premium": 60}, None, ["email"]),
        ({"premium": 60, "email": 59}, None, ["email"]),
        ({"premium": 60, "email": 60}, None, []),
        ({"name": 60}, None, []),
        ({"premium": 60, "email": 60}, "customer_no", ["extra"]),
        ({"premium": 60, "email": 60, "extra": 60}, "extra.customer_no", []),
        ({"premium": 60, "email": 60}, "track_id", ["track_id"]),
        ({"premium": 60, "email": 60}, "id", []),
    ],
)
def test_what_a_cache_tells_of_a_late_crm_can_be_compared_with_other_crms(
    fields: dict[str, int], key: str | None, short: list[str], tables: Tables, faults_of: FaultsOf
) -> None:
    shop = tables()["crm"]["shop"]
    cached = shop | {"cache": {"found_s": 10, "fields": fields}}
    lookup = {"same_person_key": key} if key else {}
    found = faults_of(crm={"shop": cached, "erp": shop}, lookup=lookup)
    assert [fault.partition(":")[0] for fault in found] == [
        f"crm.shop.cache.fields.{field}" for field in short
    ]
    for alone in ({"shop": cached}, {"shop": cached, "erp": shop | {"shadow": True}}):
        assert faults_of(crm=alone, lookup=lookup) == []


def test_only_what_can_age_may_be_kept_for_a_time_of_its_own(
    tables: Tables, faults_of: FaultsOf
) -> None:
    shop = tables()["crm"]["shop"]
    [fault] = faults_of(crm={"shop": shop | {"cache": {"fields": {"tier": 5}}}})
    assert fault.startswith("crm.shop.cache.fields.tier: must be 'email', 'premium'")


def test_without_seconds_there_is_no_cache(tables: Tables) -> None:
    shop = tables()["crm"]["shop"]
    assert from_mapping(tables(), {}).crm["shop"].cache.rules() is None
    environ = {"BROKER_CRM__SHOP__CACHE__FOUND_S": "2.5"}
    rules = from_mapping(tables(crm={"shop": shop}), environ).crm["shop"].cache.rules()
    assert rules is not None
    assert rules.found_s == 2.5


def test_without_a_client_the_service_listens_on_loopback_and_says_so(tables: Tables) -> None:
    exposed = from_mapping(tables(server={"host": "192.0.2.1"}), {})
    assert exposed.server.host == "127.0.0.1"
    assert "listening on loopback only" in exposed.warnings[0]
    local = from_mapping(tables(server={"host": "localhost"}), {})
    assert (local.server.host, local.warnings) == ("localhost", ())


@pytest.mark.parametrize(
    ("variables", "faults"),
    [
        ({"name": True, "extra": {"tier": "ivr.tier"}, "premium": False}, []),
        ({"extra.tier": True, "email": "app_email"}, []),
        ({"emial": True}, ["variables.emial: unknown key; did you mean email?"]),
        (
            {"name": "ivr name"},
            ["variables.name: must be a session variable: A-Z a-z 0-9 _ . - (at most 64)"],
        ),
        ({"name": "ivr.email"}, ["variables.name: has the same session variable as email"]),
        ({"name": "ivr.email", "email": False}, []),
        (
            {"extra.name": True, "name": True},
            ["variables.name: has the same session variable as extra.name"],
        ),
    ],
)
def test_a_session_variable_has_one_known_source(
    variables: dict[str, Any], faults: list[str], faults_of: FaultsOf
) -> None:
    assert faults_of(variables=variables) == faults


def test_the_domain_gets_what_the_operator_decided(tables: Tables) -> None:
    settings = from_mapping(
        tables(
            lookup={
                "default_region": "DE",
                "regions": {"+44": "GB"},
                "bare_numbers": "national",
                "conflict": "priority",
                "same_person_key": "extra.id",
            },
            reference={"enabled": False, "length": 5, "alphabet": "alnum", "tries_per_call": 2},
            tracking={"url_template": TRACK, "link": "direct", "email": {"sent_by": "platform"}},
            variables={"extra": {"tier": True}, "track_id": False},
            store={"call_idle_s": 60},
        ),
        {},
    )
    policy = settings.policy()
    assert (policy.folding.conflict, policy.folding.same_person_key) == ("priority", "extra.id")
    assert (policy.routing.reference_enabled, policy.routing.tries_per_call) == (False, 2)
    assert (policy.tracking.refusal, policy.idle_s) == ("sent_by_platform", 60.0)
    numbering = settings.lookup.numbering()
    assert (numbering.default_region, numbering.regions, numbering.bare) == (
        "DE",
        {"+44": "GB"},
        "national",
    )
    assert settings.reference.format().parse("AB12C") is not None
    names = settings.session_variables().names
    assert names["extra.tier"] == "ivr.tier"
    assert "track_id" not in names
