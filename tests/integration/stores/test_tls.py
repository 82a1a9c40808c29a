"""TLS to Redis: the server has to be who the certificate says."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import StoreUnavailableError
from tests.integration.stores.conftest import accepted, ledger_on
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RedisServer
    from tests.integration.stores.conftest import Connect


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1, signed by itself; its key lies beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "redis.crt"
    names = ("-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1")
    new = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run(
        [
            "openssl",
            "req",
            *new,
            *names,
            "-days",
            "2",
            "-keyout",
            tmp_path / "redis.key",
            "-out",
            file,
        ],
        check=True,
        capture_output=True,
    )
    return file


@pytest.fixture
def tls_port(start_redis: Callable[..., RedisServer], certificate: Path) -> int:
    port = free_port()
    start_redis(
        *("--tls-port", str(port), "--tls-cert-file", str(certificate)),
        *("--tls-key-file", str(certificate.with_suffix(".key")), "--tls-auth-clients", "no"),
    )
    return port


async def test_server_with_a_trusted_certificate_is_used(
    tls_port: int, certificate: Path, connect: Connect
) -> None:
    store = connect(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={certificate}")
    await accepted(ledger_on(store))


async def test_server_that_nobody_vouches_for_is_not_used(tls_port: int, connect: Connect) -> None:
    with pytest.raises(StoreUnavailableError):
        await ledger_on(connect(f"rediss://127.0.0.1:{tls_port}/0")).ping()


async def test_server_with_the_certificate_of_another_is_not_used(
    tls_port: int, certificate: Path, connect: Connect
) -> None:
    ledger = ledger_on(connect(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={certificate}"))
    with pytest.raises(StoreUnavailableError):
        await ledger.ping()
