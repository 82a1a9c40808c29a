"""A call's record as the bytes the store keeps, and back."""

from __future__ import annotations

import re

import orjson
from pydantic import TypeAdapter

from broker.domain.errors import StoreUnavailableError
from broker.domain.record import Record

VERSION = 4
"""Of the format. Raised with every change that the version before could not read or would lose.

This version and the one before are read, so that old and new replicas can work side by side; what
is new has a default. Documents of version 1 name theirs at the end.
"""
_RECORD = TypeAdapter(Record)
_BEGIN = b'{"v":%d,' % VERSION
_ANY_BEGIN = re.compile(rb'{"v":(\d+),')


def encode(record: Record) -> bytes:
    """JSON; equal records give equal bytes. The version comes first, where `claim.lua` looks."""
    return _BEGIN + orjson.dumps(record)[1:]


def decode(document: bytes) -> Record:
    """The record; StoreUnavailableError if a newer version wrote it, or it is none."""
    named = _ANY_BEGIN.match(document)
    if named is not None and int(named[1]) > VERSION:
        raise StoreUnavailableError("store: a record of a newer version")
    try:
        return _RECORD.validate_json(document)
    except ValueError:  # its text shows the content
        raise StoreUnavailableError("store: an unreadable record") from None
