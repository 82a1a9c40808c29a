"""URLs that lead where they are meant to: no id can move a request to another resource."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from yarl import URL

from broker.domain.call import checked_id
from broker.domain.errors import BadInputError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

# RFC 3986 `pchar` without percent escapes, and no segment `.` or `..`: what no library
# normalises, decodes or splits.
_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?", re.ASCII)


def path_of(*segments: str) -> str:
    """`/api/v2/sessions/{id}` from its segments, each fit to be an id.

    BadInputError `invalid_id` for `..`, `%2e`, `?`, `#`, NUL and everything else that is no
    [A-Za-z0-9_-]{1,64}.
    """
    return "".join(f"/{checked_id(segment, 'path segment')}" for segment in segments)


def checked_base(base_url: str, name: str) -> URL:
    """The operator's base URL; ConfigError unless it is http(s)://host[:port][/path]."""
    try:
        url = URL(base_url.strip())
        odd = url.user or url.password or url.query_string or url.fragment
        fits = url.scheme in {"http", "https"} and url.host and not odd
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"{name}: base_url must be http(s)://host[:port][/path]")
    return url


def url_of(base: URL, path: str) -> URL:
    """`path` below `base`. BadInputError `invalid_id` if it could lead anywhere else.

    Percent escapes are refused as well: what a server makes of `%2e%2e` is not for us to guess.
    """
    if _PATH.fullmatch(path) is None:
        raise BadInputError("the path could lead elsewhere than it should", "invalid_id")
    # `encoded`: yarl keeps what it gets, which costs a tenth of parsing a whole URL.
    return base.with_path(base.raw_path.rstrip("/") + path, encoded=True)


def with_query(url: URL, params: Mapping[str, str]) -> URL:
    """`url` with these parameters; a space is `%20`, since not every server reads `+` as one."""
    return URL(f"{url}?{urlencode(params, safe='$', quote_via=quote)}", encoded=True)
