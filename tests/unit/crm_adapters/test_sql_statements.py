"""SQL of an operator: parameters are bound, everything else stays as it was written."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from broker.domain.call import Phone, Reference
from broker.domain.errors import ConfigError
from crm_adapters.sql import SqlOptions, statements, tables
from crm_adapters.sql.database import driver

DSN = SecretStr("postgresql://u:hunter2hunter2@db.example.com/crm")


def dollars(sql: str) -> statements.Statement:
    return statements.statement(sql, lambda number: f"${number}")


def inner(sql: str) -> str:
    """What a statement became, without the limit around it."""
    return dollars(sql).text.removeprefix("SELECT * FROM (\n").removesuffix("\n) AS found LIMIT 11")


def test_parameters_become_numbers_and_a_name_keeps_its_number() -> None:
    statement = dollars("SELECT :e164, :digits, :e164")
    assert "SELECT $1, $2, $1" in statement.text
    assert statement.slots == ("e164", "digits")
    assert statement.bound({"digits": "49", "e164": "+49", "national": "-"}) == ["+49", "49"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a::text, b :: date FROM c",
        "SELECT ':e164', 'it''s :e164' FROM c",
        'SELECT ":e164", "a "":digits" FROM c',
        "SELECT 1 -- :e164\n FROM c",
        "SELECT 1 /* :e164\n :digits */ FROM c",
        "SELECT $$ :e164 $$, $tag$ :e164 $$ $tag$ FROM c",
    ],
)
def test_a_colon_elsewhere_is_no_parameter(sql: str) -> None:
    assert statements.parameters(sql) == frozenset()
    assert inner(sql) == sql


def test_a_list_parameter_has_a_fixed_number_of_values() -> None:
    statement = dollars("SELECT 1 WHERE a IN (:suffixes)")
    assert "IN ($1, $2, $3, $4)" in statement.text
    for e164 in ("+493023125001", "+4930231250", "+5491123456789", "+390669812345"):
        values = statement.bound(statements.phone_values(Phone.from_e164(e164)))
        assert len(values) == 4


def test_the_rows_are_limited_whatever_stands_at_the_end_of_the_statement() -> None:
    assert inner("SELECT 1 ;\n") == "SELECT 1 "
    assert dollars("SELECT 1 -- all").text.endswith("-- all\n) AS found LIMIT 11")


def test_the_suffixes_hold_the_end_of_every_spelling() -> None:
    """Of a short number and of an Argentine mobile the national spelling ends otherwise."""
    for e164 in ("+493023125001", "+4930231250", "+5491123456789", "+390669812345", "+37251234567"):
        phone = Phone.from_e164(e164)
        values = statements.phone_values(phone)
        suffixes = {values[f"suffixes_{i}"] for i in range(4)}
        endings = {
            "".join(char for char in spelling if char.isdigit())[-9:]
            for spelling in phone.spellings
        }
        assert suffixes == endings
        assert values["suffix"] == phone.digits[-9:]


def test_all_spellings_of_a_number_can_be_bound() -> None:
    phone = Phone.from_e164("+493023125001")
    values = statements.phone_values(phone)
    assert {values[f"spellings_{i}"] for i in range(8)} == set(phone.spellings)


def test_a_reference_is_bound_as_it_was_typed_and_in_small_letters() -> None:
    assert statements.reference_values(Reference("AB12345")) == {
        "reference": "AB12345",
        "references_0": "AB12345",
        "references_1": "ab12345",
    }


def test_names_of_tables_and_columns_are_quoted() -> None:
    sql = tables.by_reference('crm.Kunden; DROP "x"', ["id", 'a"b', "id"], "Nr.")
    assert sql == (
        'SELECT "id", "a""b" FROM "crm"."Kunden; DROP ""x""" WHERE "Nr." IN (:references)'
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"table": "customers", "by_phone": "SELECT :e164"},
        {"table": "customers", "fields": {"email": "email"}},
        {"by_phone": "SELECT 1"},
        {"by_phone": "SELECT :reference"},
        {"by_phone": "SELECT tags[1:last] FROM c WHERE p = :e164"},
        {"by_reference": "SELECT ':reference'"},
        {"table": "customers", "region": "Germany"},
        {"table": "customers", "dsn": "mysql://u:hunter2hunter2@db.example.com/crm"},
        {"table": "customers", "dsn": "hunter2hunter2"},
        {"table": "customers", "dsn": "sqlite://customers.db"},
        {"table": "customers", "dsn": "sqlite:///"},
    ],
)
def test_options_that_cannot_work_are_refused_without_the_secret(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        SqlOptions.model_validate({"dsn": DSN, **options})
    assert "hunter2" not in str(refused.value)


def test_a_table_alone_is_read_by_the_default_names() -> None:
    options = SqlOptions(dsn=DSN, table="customers")
    assert set(options.columns) == {
        *("id", "email", "track_id", "name", "language", "reference", "phone")
    }


def test_with_fields_only_the_named_columns_are_read() -> None:
    options = SqlOptions.model_validate(
        {
            "dsn": DSN,
            "table": "customers",
            "fields": {"phones": ["tel", "mobile"], "email": "mail", "extra": {"city": "town"}},
            "premium": {"field": "tier"},
        }
    )
    assert options.columns == ["id", "mail", "tel", "mobile", "town", "tier"]


def test_the_dsn_of_a_secret_file_may_end_in_a_newline() -> None:
    options = SqlOptions(dsn=SecretStr("sqlite:////data/crm.db\n"), table="customers")
    assert options.dsn.get_secret_value() == "sqlite:////data/crm.db"
    assert options.scheme == "sqlite"


def test_a_driver_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"call-session-broker\[sql\]"):
        driver("a_driver_that_nobody_has")
