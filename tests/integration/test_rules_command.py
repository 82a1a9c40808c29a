"""`broker rules test`: what QA sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.__main__ import main

RULES = """
[[rule]]
name = "vip"
offer = false
premium = true
[[rule]]
name = "wait"
offer = true
min_ewt_seconds = 60
first_action = true
"""
NOW = "now = 2026-11-23T10:00:00+01:00\n"


def case(name: str, text: str) -> str:
    return f'[[case]]\nname = "{name}"\n{NOW}{text}\n'


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "rules.toml").write_text(RULES)
    return [str(tmp_path / "rules.toml"), str(tmp_path / "cases.toml")]


def run_cases(files: list[str], cases: str) -> int:
    Path(files[1]).write_text(cases)
    return main(["rules", "test", *files])


def test_each_case_has_one_line_with_the_rule_and_why_the_others_did_not_fit(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cases = case("patient", 'ewt_seconds = 90\nexpect = { offer = true, channels = ["sms"] }')
    cases += case("vip", 'premium = true\nexpect = { rule = "vip" }')
    assert run_cases(files, cases) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    patient: wait -> sms; not vip: premium = true, is unknown",
        "ok    vip: vip -> no offer",
        "",
        "2 of 2 cases as expected",
    ]


def test_a_case_that_ends_otherwise_fails_and_says_how(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cases = case("short", 'ewt_seconds = 30\nexpect = { offer = true, rule = "wait" }')
    assert run_cases(files, cases) == 1
    out = capsys.readouterr().out
    assert "FAIL  short: no_rule -> no offer; not vip: premium = true, is unknown; " in out
    assert "not wait: min_ewt_seconds = 60, is 30\n" in out
    assert "      offer: expected True, got False\n" in out
    assert "      rule: expected 'wait', got 'no_rule'\n" in out
    assert out.endswith("0 of 1 cases as expected\n")


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ('channels = []\nexpect = { rule = "no_channel" }', False),
        ('channels = ["push"]\nexpect = { channels = ["push"] }', False),
        ('channels = ["push"]\nexpect = { channels = ["sms"] }', True),
        ("expect = { forced = true }", True),
        ('expect = { text = "x" }', True),
        ("expect = { }", False),
    ],
)
def test_what_a_case_leaves_out_may_be_anything(files: list[str], text: str, differs: bool) -> None:
    assert run_cases(files, case("x", "ewt_seconds = 90\n" + text)) == int(differs)


def test_all_faults_of_the_cases_are_listed_and_the_exit_code_is_2(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cases = '[[case]]\nname = "x"\nnow = 2026-11-23T10:00:00\npremum = true\nexpect = {}\n'
    cases += '[[case]]\nnow = "soon"\n[cass]\n'
    assert run_cases(files, cases) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "broker: cases.toml: cass: unknown key; did you mean case?"
    assert any("case.x.now: " in line for line in lines)
    assert "broker: cases.toml: case.x.premum: unknown key; did you mean premium?" in lines
    assert "broker: cases.toml: case.2.name: is missing" in lines


@pytest.mark.parametrize("cases", ["", "case = 1", "[case]\nname = 'x'"])
def test_a_file_without_cases_is_a_fault(files: list[str], cases: str) -> None:
    assert run_cases(files, cases) == 2


def test_a_faulty_rules_file_is_a_fault(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files[0]).write_text("[[rule]]\nname = 'x'\noffer = 1")
    assert run_cases(files, case("x", "expect = {}")) == 2
    assert capsys.readouterr().err.startswith("broker: rules.toml: rule.x.offer: must be true")


def test_what_init_writes_works_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    assert "broker rules test rules.toml cases.toml" in capsys.readouterr().out
    assert main(["rules", "test", "rules.toml", "cases.toml"]) == 0
    assert "FAIL" not in capsys.readouterr().out
