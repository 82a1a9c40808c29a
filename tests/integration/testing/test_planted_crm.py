"""The conformance kit finds every bug that was planted for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.vendors.planted import FOUND_BY

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parents[3]
KITS = """
from broker.testing.http_crm_kit import HttpCrmAdapterKit
from tests.vendors import planted

for bug in planted.FOUND_BY:
    vendor = next(fake for kind, fake in planted.VENDORS.items() if issubclass(bug, kind))
    members = {"adapter_type": bug, "vendor_type": vendor, "__module__": __name__}
    globals()[f"Test{bug.__name__}"] = type(bug.__name__, (HttpCrmAdapterKit,), members)
"""


def test_every_planted_bug_is_found_by_a_question(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    pytester.makepyfile(test_bugs=KITS)
    asked = [f"test_bugs.py::Test{bug.__name__}::test_{name}" for bug, name in FOUND_BY.items()]
    assert len(asked) == len(set(asked))
    result = pytester.runpytest_subprocess("-q", "--tb=no", "-rA", "--asyncio-mode=auto", *asked)
    failed = {line.split()[1] for line in result.outlines if line.startswith("FAILED ")}
    assert set(asked) - failed == set()
