"""`broker sandbox`: the stand-in platform, CRM and mail server, until it is stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from broker.sandbox import credentials
from broker.sandbox.configuration import broker_toml
from broker.sandbox.server import running_sandbox

if TYPE_CHECKING:
    import argparse

    from broker.sandbox.server import Sandbox

DEFAULT_PORT = 8091
DEFAULT_SMTP_PORT = 8025


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Adds `sandbox` to the commands."""
    parser = subparsers.add_parser(
        "sandbox",
        help="a stand-in for the phone platform, a CRM and a mail server",
        description="Serves everything around the broker, so that it can be tried without "
        "an account. Nothing is stored and nothing leaves this machine.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="HTTP port (%(default)s)")
    parser.add_argument(
        "--smtp-port", type=int, default=DEFAULT_SMTP_PORT, help="mail port (%(default)s)"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the broker.toml of a broker in front of this sandbox, and exit",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 after SIGTERM or SIGINT, 1 if a port cannot be used."""
    if args.print_config:
        print(broker_toml(f"{args.host}:{args.port}", args.smtp_port), end="")
        return 0
    try:
        asyncio.run(_serve(args.host, args.port, args.smtp_port))
    except (OSError, OverflowError) as error:
        print(f"broker sandbox: cannot listen: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(host: str, port: int, smtp_port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    async with running_sandbox(port, smtp_port, host=host) as sandbox:
        print(_served(sandbox), flush=True)
        await stop.wait()
    print("stopped", flush=True)


def _served(sandbox: Sandbox) -> str:
    url = sandbox.base_url
    return f"""\
platform   {url}/api/v2   token {credentials.PLATFORM_TOKEN}
           {url}/oauth/token   {credentials.USERNAME} / {credentials.PASSWORD}
crm        {url}/crm/customers?phone=   token {credentials.CRM_TOKEN}
mail       {sandbox.host}:{sandbox.smtp_port}   delivers nothing, see the outbox
webhook    {url}/webhook/messages   secret {credentials.WEBHOOK_SECRET}
orders     {url}/track/{{track_id}}
controls   {url}/_sandbox/   POST calls, PUT faults, GET outbox, POST reset
stop with Ctrl-C"""
