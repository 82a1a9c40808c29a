"""What number lookups said is kept as a hash and a word, in the process and on a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Line, Phone
from broker.ports import KnownLine
from broker.stores.lines import RedisLineBook

if TYPE_CHECKING:
    from broker.stores.connection import Store

PHONE, OTHER = Phone.from_e164("+12025550143"), Phone.from_e164("+12025550144")


@pytest.mark.parametrize("line", [*Line, None])
async def test_what_was_said_is_known_for_a_while(store: Store, line: Line | None) -> None:
    lines = RedisLineBook(store)
    assert await lines.recall(PHONE) is None
    await lines.keep(PHONE, line, 60.0)
    assert await lines.recall(PHONE) == KnownLine(line)
    assert await lines.recall(OTHER) is None


async def test_the_key_is_a_hash_and_it_ends(store: Store) -> None:
    await RedisLineBook(store).keep(PHONE, Line.FIXED, 60.0)
    [key] = [key async for key in store.client.scan_iter(f"*{store.prefix}line:*")]
    assert PHONE.digits not in key.decode()
    assert await store.client.get(key) == b"fixed"
    assert 0 < await store.client.pttl(key) <= 60_000


async def test_what_another_version_has_written_is_asked_for_again(store: Store) -> None:
    lines = RedisLineBook(store)
    await lines.keep(PHONE, Line.FIXED, 60.0)
    [key] = [key async for key in store.client.scan_iter(f"*{store.prefix}line:*")]
    await store.client.set(key, b"satellite", px=60_000)
    assert await lines.recall(PHONE) is None
