"""What is asked for where tokens are handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from pydantic import TypeAdapter

from broker.domain.errors import PermanentError
from broker.http_client import Auth, TokenPlace, authorizer, open_session
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT = {"kind": "client_credentials", "client_id": "broker", "client_secret": "hunter2"}


async def scope_asked_for(auth: Mapping[str, Any], place: TokenPlace) -> str | None:
    """The scope in the form that was sent, with `HOST` for the CRM's address."""
    read: Auth = TypeAdapter[Auth](Auth).validate_python(auth)
    async with ScriptedServer(reply({"access_token": "t"})) as server, open_session(LOOPBACK) as s:
        await authorizer(read, s, f"{server.url}/", name="crm", place=place).headers()
        form = dict(parse_qsl(server.asked[0].body.decode()))
        return form["scope"].replace(server.url, "HOST") if "scope" in form else None


@pytest.mark.parametrize(
    ("auth", "place", "scope"),
    [
        (CLIENT, TokenPlace(url="/token", scope="/.default"), "HOST/.default"),
        (CLIENT, TokenPlace(url="/token", scope="crm.read"), "crm.read"),
        (CLIENT | {"scope": "mine"}, TokenPlace(url="/token", scope="/.default"), "mine"),
        (CLIENT, TokenPlace(url="/token"), None),
    ],
    ids=["below the base URL", "of the adapter", "of the operator", "none"],
)
async def test_the_scope_of_the_operator_or_else_of_the_adapter_is_asked_for(
    auth: Mapping[str, Any], place: TokenPlace, scope: str | None
) -> None:
    assert await scope_asked_for(auth, place) == scope


async def test_a_client_logs_in_by_header_where_the_adapter_says_so() -> None:
    read: Auth = TypeAdapter[Auth](Auth).validate_python(CLIENT)
    place = TokenPlace(url="/token", basic=True)
    refusal = reply({"error": "invalid_client"}, status=401)
    async with (
        ScriptedServer(reply({"access_token": "t"}), otherwise=refusal) as server,
        open_session(LOOPBACK) as http,
    ):
        login = authorizer(read, http, server.url, name="crm", place=place)
        assert await login.headers() == {"Authorization": "Bearer t"}
        assert server.asked[0].headers["Authorization"] == "Basic YnJva2VyOmh1bnRlcjI="
        form = dict(parse_qsl(server.asked[0].body.decode()))
        assert form == {"grant_type": "client_credentials", "client_id": "broker"}
        login.reject()
        with pytest.raises(PermanentError, match=r"were refused \(invalid_client\)"):
            await login.headers()
