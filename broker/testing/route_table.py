"""The routes a broker serves, without starting one: for documentation and collections to match."""

from __future__ import annotations

from typing import Any, cast

from broker.web.routes import routes


class _Anything:
    """Stands for handlers, which a route table only mentions."""

    def __getattr__(self, name: str) -> object:
        return name


def served_routes() -> list[tuple[str, str]]:
    """Method and path pattern of every route, in the order of a call."""
    stand_in = cast("Any", _Anything())
    table = routes(stand_in, stand_in, stand_in, stand_in)
    return [(route.method, route.path) for route in table]
