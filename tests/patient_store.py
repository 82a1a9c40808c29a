"""A store that waits for a busy machine: for tests that ask what it keeps, not how soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.stores.connection import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

PATIENCE_S = 20.0


class PatientStore(Store):
    """Waits for a busy machine. How long a caller waits is asked in tests/integration/stores."""

    async def run(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | float],
        *,
        within: float | None = None,  # noqa: ARG002 - the point of it
    ) -> Any:
        return await super().run(script, keys, args)

    async def call(
        self,
        command: Awaitable[Any],
        *,
        within: float | None = None,  # noqa: ARG002 - the same
    ) -> Any:
        return await super().call(command)


def patient_store(url: str, prefix: str) -> PatientStore:
    return PatientStore(open_store(url, command_timeout_s=PATIENCE_S), prefix, timeout_s=PATIENCE_S)
