"""A call's record as the bytes the store keeps, and back."""

from __future__ import annotations

import orjson
from pydantic import TypeAdapter

from broker.domain.record import Record

_RECORD = TypeAdapter(Record)


def encode(record: Record) -> bytes:
    """JSON; equal records give equal bytes."""
    return orjson.dumps(record)


def decode(document: bytes) -> Record:
    """The record; ValueError if the bytes are none."""
    return _RECORD.validate_json(document)
