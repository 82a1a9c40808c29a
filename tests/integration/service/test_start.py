"""What cannot work is refused at the start; what is only away is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.app import open_parts, refuse_unfit
from broker.domain.errors import ConfigError
from broker.settings import from_mapping

if TYPE_CHECKING:
    from pathlib import Path


async def test_start_names_every_crm_that_can_never_work(
    configuration: dict[str, Any], tmp_path: Path
) -> None:
    missing = {"adapter": "csv", "options": {"path": str(tmp_path / "missing.csv")}}
    settings = from_mapping({**configuration, "crm": {"shop": missing, "club": missing}}, {})
    async with open_parts(settings) as parts:
        with pytest.raises(ConfigError) as refused:
            await refuse_unfit(parts)
    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["crm.shop", "crm.club"]


async def test_crm_that_is_only_away_does_not_stop_the_start(
    configuration: dict[str, Any],
) -> None:
    away = {
        "adapter": "rest",
        "options": {"base_url": "http://127.0.0.1:1", "phone_path": "/c?phone={e164}"},
    }
    async with open_parts(from_mapping({**configuration, "crm": {"shop": away}}, {})) as parts:
        await refuse_unfit(parts)
