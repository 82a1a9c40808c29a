"""`python -m broker.testing.serve ADAPTER VENDOR`: the fake of a CRM, to try the broker with.

It prints a `broker.toml` that reaches it, and serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.domain.errors import ConfigError
from broker.testing.crm_conformance import choose
from broker.testing.people import ADA

if TYPE_CHECKING:
    from broker.testing.vendor import FakeVendor

WRONG_USE = 2
TABLES = """\
# {vendor} answers at {url}, and knows the people of broker.testing.people:
#   broker check
#   broker lookup --phone {phone} --show

[platform]
driver = "answer"

[outbound]
allow_internal = ["127.0.0.1"]

[lookup]
default_region = "DE"

[crm.trial]
adapter = {adapter}

[crm.trial.options]
{options}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m broker.testing.serve", description=__doc__)
    parser.add_argument("adapter", help="my_crm, or my_package:MyAdapter")
    parser.add_argument("vendor", help="tests.fake_crm:FakeCrm")
    parser.add_argument("--port", type=int, default=0, help="(where there is room)")
    args = parser.parse_args()
    try:
        vendor = choose(args.adapter, args.vendor).vendor()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command prints
        return WRONG_USE
    vendor.port = args.port
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(vendor, args.adapter))
    return 0


async def _serve(vendor: FakeVendor, adapter: str) -> None:
    async with vendor:
        print(configuration(vendor, adapter), flush=True)  # noqa: T201
        await asyncio.Event().wait()


def configuration(vendor: FakeVendor, adapter: str) -> str:
    """A `broker.toml` for a running vendor."""
    return TABLES.format(
        vendor=type(vendor).__name__,
        url=vendor.url,
        phone=ADA.phone.e164,
        adapter=_toml(adapter),
        options="\n".join(f"{key} = {_toml(value)}" for key, value in vendor.options().items()),
    )


def _toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
