"""Conformance kits and fakes for authors of plug-ins, and for our own tests."""

import pytest

# Before any kit is imported: so that a failing question of a kit shows the values it compared.
pytest.register_assert_rewrite(
    *(f"{__name__}.{kit}_kit" for kit in ("channel", "crm", "http_crm", "ledger", "platform"))
)
