"""Conformance kits and fakes for authors of plug-ins, and for our own tests."""

import pytest

KITS = (
    *("channel_kit", "crm_kit", "ledger_kit", "platform_kit"),
    *("http_crm_found", "http_crm_time", "http_crm_trouble", "http_crm_writing"),
)
# Before any kit is imported: so that a failing question of a kit shows the values it compared.
pytest.register_assert_rewrite(*(f"{__name__}.{kit}" for kit in KITS))
