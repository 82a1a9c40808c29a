"""The broker with the record format before ours: `python -m tests.chaos.older serve ...`."""

from __future__ import annotations

import sys

from broker.stores import codec

if __name__ == "__main__":
    # Before anybody else takes them from there.
    codec.VERSION -= 1
    codec._BEGIN = b'{"v":%d,' % codec.VERSION

    from broker.__main__ import main

    sys.exit(main())
