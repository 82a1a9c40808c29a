"""A token endpoint for fakes: hands out tokens, and knows which of them are still good."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping


PREFIX = "s3cret-access-"


class TokenDesk:
    """`wanted` = what a form has to hold; `faults` = status and OAuth error, by what is wrong.

    Every token begins with `secret`. Route `POST /oauth/token` to `give`, and let `admits` say who
    comes in.
    """

    def __init__(
        self,
        wanted: Mapping[str, str],
        faults: Mapping[str, tuple[int, str]] = MappingProxyType({}),
        secret: str = PREFIX,
    ) -> None:
        self.wanted = dict(wanted)
        self.forms: list[dict[str, str]] = []
        self._faults = faults
        self._secret = secret
        self._good: set[str] = set()

    async def give(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.forms.append(form)
        for name, value in self.wanted.items():
            if form.get(name) != value:
                status, error = self._faults.get(name, (400, "invalid_request"))
                return web.json_response({"error": error}, status=status)
        token = f"{self._secret}{len(self.forms)}"
        self._good.add(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3599}
        return web.json_response(answer)

    def admits(self, shown: str | None, prefix: str = "Bearer ") -> bool:
        """Whether this is the header of a request that may come in."""
        return str(shown).startswith(prefix) and str(shown).removeprefix(prefix) in self._good

    def revoke(self) -> None:
        """All tokens so far are refused from now on."""
        self._good.clear()
