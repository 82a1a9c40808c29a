"""What several commands share: `--config`, and settings that are read with clear errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from broker.settings import Settings


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (else BROKER_CONFIG, else ./broker.toml)",
    )


def read_settings(args: argparse.Namespace) -> Settings:
    """The settings that the command line names; warnings go to standard error."""
    from broker.settings import load  # noqa: PLC0415 - pydantic is slow to import

    settings = load(args.config, os.environ)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return settings
