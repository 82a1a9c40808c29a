"""Processes pinned to a core, and what they cost according to /proc."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER_CPU = 0
"""Where the contender runs, alone."""
LOAD_CPU = 1
"""Where the load, the stubs, Redis and the measuring run."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
START_S = 20.0


class Pinned:
    """A process on one core, stopped with the context."""

    def __init__(
        self, cpu: int, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(cpu), *command],
                env=env,
                stdout=output,
                stderr=output,
            )
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_for(self, port: int) -> float:
        """Seconds until something listens at `port`; RuntimeError with the log if it never does."""
        began = time.monotonic()
        while time.monotonic() - began < START_S and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return time.monotonic() - began
            time.sleep(0.01)
        raise RuntimeError(f"nothing listens at {port}:\n{self._log.read_text()[-2000:]}")

    def cpu_s(self) -> float:
        """User and system time of the whole process tree so far."""
        return sum(_cpu_s(pid) for pid in self._tree())

    def rss_mib(self) -> float:
        """Resident memory of the whole process tree."""
        return sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB
            for pid in self._tree()
        )

    def open_files(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._tree())

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()

    def stop(self) -> None:
        """As if the machine it runs on hung, until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _tree(self) -> list[int]:
        pids = [self._process.pid]
        for pid in pids:  # grows while it is walked
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += [int(child) for child in children.read_text().split()]
        return pids


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def busy_s(cpu: int) -> float:
    """How long `cpu` has worked since boot, for whomever."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, ticks)
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise RuntimeError(f"there is no cpu{cpu}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Foreign:
    """How much of the contender's core others took between two moments."""

    busy: float
    own: float
    at: float

    @classmethod
    def now(cls, process: Pinned) -> Foreign:
        return cls(busy_s(SERVER_CPU), process.cpu_s(), time.monotonic())

    def share_until(self, later: Foreign) -> float:
        foreign = (later.busy - self.busy) - (later.own - self.own)
        return max(0.0, foreign / (later.at - self.at))


def facts() -> list[str]:
    """What kind of machine the figures come from."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    memory = f"{memory_kib / 2**20:.0f} GiB"
    programs = {"redis-server": "--version", "nginx": "-v", "wrk": "-v"}
    present = {name: option for name, option in programs.items() if shutil.which(name)}
    versions = [f"{name} {_version(name, option)}" for name, option in present.items()]
    return [
        f"{os.cpu_count()} cores of {cpu}, {memory}, Linux {platform.release()}",
        ", ".join([f"Python {platform.python_version()}", *versions]),
    ]


def _version(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"
