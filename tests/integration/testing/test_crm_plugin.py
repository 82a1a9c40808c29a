"""`pytest --crm`: the kit against an adapter, from any folder, with a report to hand in."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parents[3]
HUBSPOT = ("--crm", "hubspot", "--crm-vendor", "tests.vendors.hubspot:FakeHubSpot")
LIAR = """
from crm_adapters.hubspot import HubSpotAdapter


class Liar(HubSpotAdapter):
    async def find_by_reference(self, reference):
        return ()
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest in an empty folder that is not the broker's."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.delenv("CI", raising=False)
    return Run(pytester)


class Run:
    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*args)


def test_every_question_is_asked_from_any_folder_and_reported(run: Run) -> None:
    result = run(*HUBSPOT, "--crm-report", "proof.md")
    assert result.ret == 0
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    passed = f"passed, all {outcomes['passed']} questions"
    result.stdout.fnmatch_lines([f"crm_adapters.hubspot:HubSpotAdapter: {passed}"])
    report = (run.pytester.path / "proof.md").read_text()
    for said in (
        "# Conformance of HubSpotAdapter",
        "| Adapter | `crm_adapters.hubspot:HubSpotAdapter` |",
        f"| Package | call-session-broker {version('call-session-broker')} |",
        "| Options | `auth`, `base_url`, `fields`, `note_key`, `premium`, ",
        "| CRM played by | `tests.vendors.hubspot:FakeHubSpot` |",
        f"| Broker | {version('call-session-broker')} |",
        f"| Verdict | **{passed}** |",
        "| Two customers with one number are both returned | passed |",
        "| A server error is temporary (503) | passed |",
    ):
        assert said in report
    assert "pat-eu1" not in report


def test_a_lie_is_found_and_explained(run: Run) -> None:
    run.pytester.makepyfile(liar=LIAR)
    result = run("--crm", "liar:Liar", "--crm-vendor", HUBSPOT[-1], "--crm-report", "proof.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    report = (run.pytester.path / "proof.md").read_text()
    assert "| Package | not installed |" in report
    assert "| An unknown reference gives nobody | passed |" in report
    assert "| A known reference gives the customer | **failed**: " in report
    assert "**NOT passed: of " in report


def test_only_the_kit_runs_and_a_part_of_its_questions_is_no_pass(run: Run) -> None:
    run.pytester.makepyfile(test_other="def test_closed_twice(): pass")
    run.pytester.makeini(f"[pytest]\ncrm_vendor = {HUBSPOT[-1]}")
    result = run(*HUBSPOT[:2], "-k", "closed_twice")
    assert result.parseoutcomes()["passed"] == 1
    result.stdout.fnmatch_lines(["*: NOT passed: of * questions * not asked"])


def test_tests_of_ones_own_run_beside_it_if_they_are_named(run: Run) -> None:
    run.pytester.makepyfile(test_other="def test_closed_twice(): pass")
    assert run(*HUBSPOT, "-k", "closed_twice", "test_other.py").parseoutcomes()["passed"] == 2


def test_what_cannot_be_run_is_explained_in_one_sentence(run: Run) -> None:
    result = run(*HUBSPOT[:2])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if line]
    assert line.startswith("ERROR: --crm needs a FakeVendor that plays the CRM")


def test_a_run_without_it_loads_no_part_of_the_broker_but_the_plug_in(run: Run) -> None:
    run.pytester.makepyfile(
        test_light="""
        import sys

        def test_light():
            loaded = {name for name in sys.modules if name.startswith(("broker", "aiohttp."))}
            assert loaded == {"broker", "broker.testing", "broker.testing.plugin"}
        """
    )
    assert run("-p", "no:aiohttp").ret == 0
