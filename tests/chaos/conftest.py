"""How long the proof takes, and from which seed: `CHAOS_SIZE=full`, `CHAOS_SEED=7`."""

from __future__ import annotations

import os

import pytest

SEED = int(os.environ.get("CHAOS_SEED", "1"))
FULL = os.environ.get("CHAOS_SIZE", "sample") == "full"


def pytest_report_header() -> str:
    return f"chaos: CHAOS_SEED={SEED} CHAOS_SIZE={'full' if FULL else 'sample'}"


def size(sample: int, full: int) -> int:
    """How much of something a test plays."""
    return full if FULL else sample


@pytest.fixture
def seed() -> int:
    return SEED
