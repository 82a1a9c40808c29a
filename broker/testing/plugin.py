"""`pytest --crm my_package:MyAdapter`: asks a CRM adapter every question of the conformance kit.

It is loaded by every pytest beside an installed broker, so it imports nothing until it is asked to,
and without `--crm` it changes nothing.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

VENDOR = "crm_vendor"
TIMEOUT_S = 60
"""After which a question has failed, where pytest-timeout is installed and nothing else is set."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crm", "conformance of a CRM adapter")
    group.addoption(
        "--crm", metavar="ADAPTER", help="run the conformance kit against my_package:MyAdapter"
    )
    group.addoption(
        "--crm-vendor",
        metavar="VENDOR",
        help=f"the fake that plays the CRM, tests.fake_crm:FakeCrm; or {VENDOR} in the ini file",
    )
    group.addoption(
        "--crm-report", metavar="FILE", type=Path, help="write what the kit found, as Markdown"
    )
    parser.addini(VENDOR, "the fake that plays the CRM in a run with --crm")


# First: pytest-asyncio and pytest-timeout look at what is set here.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("crm"):
        _prepare(config)
    elif config.getoption("crm_report"):
        raise pytest.UsageError("--crm-report needs --crm")


def _prepare(config: pytest.Config) -> None:
    """Makes this run one of the kit; UsageError with one sentence if it cannot be."""
    sys.path.insert(0, str(config.invocation_params.dir))  # as `python -m pytest` does
    if not config.pluginmanager.hasplugin("asyncio"):
        raise pytest.UsageError('--crm needs the extra "testing" of call-session-broker')
    from broker.domain.errors import ConfigError  # noqa: PLC0415 - only where it is asked for
    from broker.testing import crm_conformance  # noqa: PLC0415
    from broker.testing.crm_report import CrmReport  # noqa: PLC0415

    vendor = config.getoption("crm_vendor") or config.getini(VENDOR)
    try:
        proven = crm_conformance.choose(config.getoption("crm"), vendor)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    config.option.asyncio_mode = "auto"
    warnings.filterwarnings("ignore", ".*asyncio_default_fixture_loop_scope.* is unset")
    if config.pluginmanager.hasplugin("timeout") and not config.getini("timeout"):
        config.option.timeout = config.option.timeout or TIMEOUT_S
    asked_for = config.args if config.args_source is config.ArgsSource.ARGS else []
    config.args = [*asked_for, crm_conformance.__file__]
    config.pluginmanager.register(CrmReport(proven, config.getoption("crm_report")), "crm-report")
