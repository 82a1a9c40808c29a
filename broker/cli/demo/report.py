"""What the demo prints: one readable timeline per call; colours only on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.cli.demo.flow import Moment

_BOLD, _DIM, _GREEN, _RED, _CYAN, _PLAIN = "1", "2", "32", "31", "36", "0"
_WHO_COLOUR = {"caller": "33", "customer": "33", "IVR": "35", "broker": _CYAN}


class Report:
    """Prints as it goes. In a pipe, or with NO_COLOR set, without any control characters."""

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def opening(self, broker: str, sandbox: str) -> None:
        self._say(self._in(_BOLD, "Call-session broker demo"))
        self._say(f"  broker   {broker}   (in-process store, nothing is kept)")
        self._say(f"  sandbox  {sandbox}   (phone platform, CRM, mailbox, shop)")
        self._say("  Times are milliseconds since the phone rang.")

    def call(self, number: int, title: str, timeline: Sequence[Moment], fault: str | None) -> None:
        """One call as it went; `fault` = how it left its script."""
        self._say("")
        self._say(self._in(_BOLD, f"Call {number}: {title}"))
        for moment in timeline:
            who = self._in(_WHO_COLOUR.get(moment.who, _PLAIN), f"{moment.who:<8}")
            self._say(f"  {self._in(_DIM, f'{moment.ms:>6} ms')}  {who}  {moment.what}")
        if fault is None:
            self._say(self._in(_GREEN, "  as scripted"))
        else:
            self._say(self._in(_RED, f"  NOT AS SCRIPTED: {fault}"))

    def closing(self, right: int, total: int) -> None:
        self._say("")
        colour = _GREEN if right == total else _RED
        self._say(self._in(colour, f"{right} of {total} calls went as scripted."))

    def serving(self, broker: str, sandbox: str) -> None:
        self._say("")
        self._say("Still serving; stop with Ctrl-C. Try it yourself:")
        self._say(f'  curl -s -X POST {sandbox}/_sandbox/calls -d \'{{"persona": "premium"}}\'')
        self._say(f"  curl -s {broker}/v1/calls -H 'Prefer: wait=2' -d '{{\"call_id\": …}}'")

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    @staticmethod
    def _say(line: str) -> None:
        print(line, flush=True)
