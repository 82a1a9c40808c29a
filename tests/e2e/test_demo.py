"""`broker demo --once`, as a stranger starts it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

DEMO_DATA = Path(__file__).parents[2] / "docs" / "demo-data.md"


def test_every_scripted_call_is_played_as_scripted_and_printed_plainly_into_a_pipe(
    run_broker: Callable[..., CompletedProcess[str]],
) -> None:
    done = run_broker("demo", "--once")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    scripted = re.findall(r"^\| ([0-9]+) ", DEMO_DATA.read_text(), re.MULTILINE)
    assert re.findall(r"^Call ([0-9]+): ", done.stdout, re.MULTILINE) == scripted
    assert done.stdout.count("as scripted\n") == len(scripted)
