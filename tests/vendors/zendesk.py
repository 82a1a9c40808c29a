"""Zendesk on loopback: users, organizations and tickets behind OAuth and a search of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

TOKENS = "/oauth/tokens"
CLIENT, SECRET = "session_broker", "af3t24tfj34h43s3cret"
AUTH = {"kind": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
ME = {"id": 1, "role": "agent", "name": "Broker", "email": "broker@shop.example", "tags": []}
TIERS = {True: "gold", False: "basic", None: None}
USER_FIELDS = {"tier", "last_order", "mobile", "customer_no"}
ORGANIZATION_FIELDS = {"plan"}
SIDELOADS = {"identities", "organizations", "groups", "roles", "abilities"}

_ATTRIBUTES = ("phone", "locale", "external_id", "active", "organization_id", "notes", "details")
_TERM = re.compile(r'(\w+):(?:"([^"]*)"|(\*?)([^\s"]+))')
_WORD = re.compile(r"[^\W_]+")


class FakeZendesk(FakeVendor):
    """Evaluates queries as the search reference and the guide for telephone systems have it.

    The index holds the digits of numbers, those of identities too (which Zendesk does not
    document); a word of which it knows no field is searched for as text, and finds nobody here.
    """

    secrets = (CLIENT, SECRET)
    tokens_given = 0
    scope = ""
    """Of the newest token, the only one that is good."""
    me: Mapping[str, Any] = ME
    has_more_fields = False
    """Than stand on the first page."""

    def __init__(self, *people: Any) -> None:
        self.organizations: list[dict[str, Any]] = []
        self.keys: dict[str, tuple[Any, int]] = {}
        """What was sent with a key, and the ticket it made."""
        super().__init__(*people)

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": AUTH | {"scope": "read tickets:write"},
            "region": "DE",
            "fields": {"track_id": "user_fields.last_order"},
            "premium": {"field": "user_fields.tier", "premium": ["gold"], "standard": ["basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, *others = person.phones
        return {
            "id": int(person.id),
            "role": "end-user",
            "active": True,
            "name": person.name,
            "email": person.email,
            "phone": phone,
            "locale": person.language,
            "external_id": person.reference.lower(),
            "organization_id": None,
            "tags": [],
            "user_fields": {"tier": TIERS[person.premium], "last_order": person.track_id},
            "identities": others,
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", TOKENS, self._give_token),
            ("GET", "/api/v2/users/search", self._find_users),
            ("GET", "/api/v2/users/me", self._show_me),
            ("GET", "/api/v2/user_fields", self._list_user_fields),
            ("GET", "/api/v2/organization_fields", self._list_organization_fields),
            ("GET", "/api/v2/tickets", self._list_tickets),
            ("POST", "/api/v2/tickets", self._create_ticket),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == TOKENS

    def revoke(self) -> None:
        """As an administrator can."""
        self.tokens_given += 1

    def admits(self, request: web.Request) -> bool:
        if request.headers.get("Authorization") != f"Bearer token-{self.tokens_given}":
            raise Refusal(401, {"error": "invalid_token"})
        needed = "read" if request.method == "GET" else "tickets:write"
        if not {needed, needed.rpartition(":")[2]} & set(self.scope.split()):
            raise Refusal(403, {"error": "Forbidden", "description": "Missing the required scope"})
        return True

    def refuses(self, asked: Asked) -> bool:
        if asked.path != "/api/v2/users/search":
            return False
        users = spec("zendesk_search.json")
        return users is not None and users.forbids(asked) is not None

    def skeleton(self, asked: Asked) -> object:
        query = asked.query.get("query")
        words = () if query is None else tuple((k, bool(star)) for k, _, star, _ in _terms(query))
        return (super().skeleton(asked), words)

    async def _give_token(self, request: web.Request) -> web.Response:
        form = await request.json() if request.content_type == "application/json" else {}
        wanted = ("client_credentials", CLIENT, SECRET)
        if (form.get("grant_type"), form.get("client_id"), form.get("client_secret")) != wanted:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens_given += 1
        self.scope = form.get("scope", "")
        token = {"access_token": f"token-{self.tokens_given}", "token_type": "bearer"}
        return web.json_response(token | {"scope": self.scope, "expires_in": 172_800})

    async def _find_users(self, request: web.Request) -> web.Response:
        asked = request.query
        include = set(asked.get("include", "").split(",")) - {""}
        size = int(asked.get("per_page", "100"))
        if not include <= SIDELOADS or size > 100:
            raise Refusal(400, {"error": "invalid"})
        found = [user for user in self.records if self._fits(user, asked)]
        page = found[:size]
        answer: dict[str, Any] = {"users": [_shown(user) for user in page], "count": len(found)}
        answer["next_page"] = f"{self.url}?page=2" if len(found) > size else None
        if "identities" in include:
            answer["identities"] = [one for user in page for one in _identities(user)]
        if "organizations" in include:
            wanted = {user["organization_id"] for user in page}
            answer["organizations"] = [o for o in self.organizations if o["id"] in wanted]
        return web.json_response(answer)

    def _fits(self, user: dict[str, Any], asked: Mapping[str, str]) -> bool:
        if "external_id" in asked:
            return (user["external_id"] or "").casefold() == asked["external_id"].casefold()
        return all(_has(user, *term) for term in _terms(asked["query"]))

    async def _show_me(self, _: web.Request) -> web.Response:
        return web.json_response({"user": dict.fromkeys(_ATTRIBUTES) | dict(self.me)})

    async def _list_user_fields(self, _: web.Request) -> web.Response:
        fields = [{"key": key, "type": "text"} for key in sorted(USER_FIELDS)]
        more = f"{self.url}/api/v2/user_fields?page=2" if self.has_more_fields else None
        return web.json_response({"user_fields": fields, "next_page": more})

    async def _list_organization_fields(self, _: web.Request) -> web.Response:
        fields = [{"key": key, "type": "dropdown"} for key in sorted(ORGANIZATION_FIELDS)]
        return web.json_response({"organization_fields": fields, "next_page": None})

    async def _list_tickets(self, request: web.Request) -> web.Response:
        wanted = request.query["external_id"]
        found = [one for one in self.tickets if one["external_id"] == wanted]
        return web.json_response({"tickets": found, "count": len(found), "next_page": None})

    async def _create_ticket(self, request: web.Request) -> web.Response:
        content, key = (await request.json())["ticket"], request.headers["Idempotency-Key"]
        if key in self.keys:
            sent, position = self.keys[key]
            if sent != content:
                raise Refusal(400, {"error": "IdempotentRequestError"})
            return web.json_response({"ticket": self.tickets[position]}, status=201)
        if "requester" in content:
            raise AssertionError("a user would be created")
        ids = {self.me["id"], *(user["id"] for user in self.records)}
        if content.get("requester_id", self.me["id"]) not in ids or not content["comment"]["body"]:
            raise Refusal(422, {"error": "RecordInvalid"})
        self.keys[key] = (content, len(self.tickets))
        requester = {"requester_id": self.me["id"]}
        self.tickets.append({**requester, **content, "id": 9001 + len(self.tickets)})
        return web.json_response({"ticket": self.tickets[-1]}, status=201)


def _terms(query: str) -> list[tuple[str, str, str, str]]:
    """Word, phrase, star, value of each term."""
    terms = [match.groups("") for match in _TERM.finditer(query)]
    if _TERM.sub("", query).strip():
        raise Refusal(422, {"error": "invalid", "description": "Invalid search"})
    return [(word, phrase, star, value) for word, phrase, star, value in terms]


def _has(user: dict[str, Any], word: str, phrase: str, star: str, value: str) -> bool:
    """Whether a user fits one term."""
    if word == "role":
        return bool(user["role"] == value)
    if word == "phone":
        stored = [user["phone"], *user["identities"]]
        digits = ["".join(re.findall(r"[0-9]", number)) for number in stored if number]
        return any(one.endswith(value) if star else one == value for one in digits)
    text = str(user["user_fields"].get(word) or "").casefold()
    if phrase:
        return _WORD.findall(text) == _WORD.findall(phrase.casefold())
    return any(one.endswith(value) if star else one == value for one in _WORD.findall(text))


def _shown(user: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in user.items() if name != "identities"}


def _identities(user: dict[str, Any]) -> list[dict[str, Any]]:
    values = {"email": [user["email"]], "phone_number": [user["phone"], *user["identities"]]}
    return [
        {"user_id": user["id"], "type": kind, "value": value}
        for kind, listed in values.items()
        for value in listed
        if value
    ]
