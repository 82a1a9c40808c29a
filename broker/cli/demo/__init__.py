"""`broker demo`: the whole story on this machine, over real HTTP, call by call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `demo` to the commands."""
    parser = subparsers.add_parser(
        "demo",
        help="the whole story on this machine: no account, no server, no configuration",
        description="Starts a broker and a sandbox in this process, plays the scripted calls and "
        "shows what happened in each; then keeps serving, so that you can call it yourself.",
    )
    parser.add_argument(
        "--once", action="store_true", help="exit after the calls; 0 if all went as scripted"
    )
    parser.add_argument(
        "--port", type=int, default=None, help="the broker's port (8080; with --once any free one)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 if every call went as its script says, else 1."""
    from broker.cli.demo.stage import play  # noqa: PLC0415 - loads the whole service

    return play(once=args.once, port=args.port)
