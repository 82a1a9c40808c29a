"""`broker` and `python -m broker`: picks the command, and turns errors into one clear sentence."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from broker.domain.errors import BadInputError, BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "the whole story on this machine: no account, no server, no configuration",
    "serve": "the service",
    "sandbox": "a stand-in for the phone platform, a CRM and a mail server",
    "init": "write a configuration that works at once",
    "scaffold": "write the package of a new CRM adapter, which passes at once",
    "check": "load everything, reach every part, and say what is wrong",
    "dead-letters": "messages that were given up: list them, send them again, drop them",
    "opt-outs": "who wants no messages: add people, remove them, look them up",
    "consents": "who agreed to be written to, when and how: one JSON line each",
    "lookup": "what each CRM answers for one number or reference",
    "rules": "check the rules by which callers are offered a channel",
    "shadow": "how CRMs in shadow mode compare with those that answer the calls",
}
FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for a failure, 2 for a wrong command line or configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = _parser(arguments[0] if arguments else None)
        args = parser.parse_args(arguments)
        return int(args.run(args))
    except (BrokerError, OSError) as error:
        for sentence in error.faults if isinstance(error, ConfigError) else (str(error),):
            print(f"broker: {sentence}", file=sys.stderr)  # noqa: T201 - a command prints
        return WRONG_USE if isinstance(error, ConfigError | BadInputError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as exit_:  # argparse: 0 after --help and --version, 2 for a wrong line
        return exit_.code if isinstance(exit_.code, int) else FAILED


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """All commands by name; only the module of the chosen one is imported."""
    parser = argparse.ArgumentParser(prog="broker", description="Call-session broker")
    parser.add_argument("--version", action="version", version=f"broker {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name == chosen:
            import_module(f"broker.cli.{name.replace('-', '_')}").add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


def _version() -> str:
    try:
        return version("call-session-broker")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
