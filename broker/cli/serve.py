"""`broker serve`: the service, from its first log line to a drained end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from broker.app import credentials, running_broker
from broker.cli.common import add_config
from broker.cli.loop import run_loop
from broker.domain.errors import ConfigError
from broker.logs import configure
from broker.parts import refuse_unfit
from broker.settings import load
from broker.web.inbound import BACKLOG

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from broker.app import Broker
    from broker.settings import Settings

log = structlog.get_logger("broker.serve")
_GC_THRESHOLD = 50_000
"""Records are trees, not cycles: the default of 700 costs 5 % of a call (docs/performance.md)."""
_LAST_ANSWERS_S = 2.0
"""How long a request that is still open after the drain may hold up the end."""


async def serve(
    settings: Settings, stop: asyncio.Event, again: Callable[[], Settings] | None = None
) -> None:
    """Serve until `stop`: then readiness off, accept a little longer, finish, hand over.

    On SIGHUP the clients' secrets are taken from `again`.
    """
    async with running_broker(settings) as broker:
        for warning in settings.warnings:
            log.warning("settings", detail=warning)
        for warning in await refuse_unfit(broker.parts):
            log.warning("settings", detail=warning)
        runner = broker.runner(shutdown_timeout=_LAST_ANSWERS_S)
        await runner.setup()
        try:
            host, port = settings.server.host, settings.server.port
            site = web.TCPSite(runner, host, port, backlog=BACKLOG)
            await site.start()
            if again is not None and hasattr(signal, "SIGHUP"):
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGHUP, change_secrets, broker, again)
            _say_started(broker, runner)
            await stop.wait()
            broker.health.draining = True
            log.info("draining", accepting_s=settings.server.drain_delay_s)
            await asyncio.sleep(settings.server.drain_delay_s)
            await site.stop()
            grace = settings.server.shutdown_grace_s
            # Kept-alive connections end with the listener, while what runs is finished.
            await asyncio.gather(runner.cleanup(), broker.worker.drain(grace))
        finally:
            await runner.cleanup()
    log.info("stopped")


def change_secrets(broker: Broker, again: Callable[[], Settings]) -> None:
    """Let the clients in by the secrets that the configuration has now; nothing else changes.

    What is wrong with the configuration goes to the log, and everything stays as it was.
    """
    try:
        settings = again()
    except ConfigError as error:
        log.error("secrets_unchanged", faults=list(error.faults))  # noqa: TRY400 - no traceback
        return
    if broker.parts.settings.server.clients and not settings.server.clients:
        log.error("secrets_unchanged", faults=["[server.clients] is empty: that would let all in"])
        return
    broker.doorkeeper.know(credentials(settings))
    log.info("secrets_changed", clients=len(settings.server.clients))


def _say_started(broker: Broker, runner: web.AppRunner) -> None:
    settings = broker.parts.settings
    host, port = runner.addresses[0][:2]
    log.info(
        "serving",
        host=host,
        port=port,
        profile=broker.health.profile,
        platform=settings.platform.driver,
        crms=sorted(settings.crm),
        channels=sorted(broker.parts.channels),
        clients=len(settings.server.clients),
    )


async def until_signalled(settings: Settings, again: Callable[[], Settings]) -> None:
    """`serve` until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, again)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="the service",
        description="Serves calls until SIGTERM; then drains and hands over what is not finished.",
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    settings = load(args.config, os.environ)
    key = settings.privacy.hash_key
    hashed = settings.privacy.log_numbers == "hashed" and key is not None
    configure(sys.stdout.buffer, hash_key=key.get_secret_value() if hashed and key else None)
    gc.collect()
    gc.freeze()  # what was imported stays: no collection has to look at it again
    gc.set_threshold(_GC_THRESHOLD)
    run_loop(until_signalled(settings, lambda: load(args.config, os.environ)))
    return 0
