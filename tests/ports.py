"""Ports for servers that a test starts, stops and starts again."""

from __future__ import annotations

import random
import socket

_BELOW_THE_CLIENTS = range(20000, 32768)
"""Kernels give clients higher ones, so that none is taken while its server is down."""
_CHANCE = random.SystemRandom()
"""Other test runs on this machine must not draw the same."""


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    while True:
        port = _CHANCE.choice(_BELOW_THE_CLIENTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
