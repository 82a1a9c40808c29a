"""What tests need to start, stop and start again servers of their own."""

from __future__ import annotations

import os
import random
import shutil
import socket

import pytest

REDIS_SERVER = os.environ.get("BROKER_TEST_REDIS_SERVER", "redis-server")
"""The program; a name that does not exist plays a machine without Redis."""
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


def needs_redis_server() -> None:
    """Skips the test where none is installed."""
    if shutil.which(REDIS_SERVER) is None:
        pytest.skip("redis-server is not installed")
