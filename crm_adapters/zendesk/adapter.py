"""The CRM adapter for Zendesk: one search for each lookup, tickets known by their external id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.sdk import (
    ConfigError,
    HttpCrmAdapter,
    PermanentError,
    Phone,
    Reference,
    TemporaryError,
    TicketRef,
    TokenPlace,
    at_once,
    list_at,
    one_at,
    plain_text,
)
from crm_adapters.zendesk.options import ORGANIZATION_FIELD, USER_FIELD, ZendeskOptions
from crm_adapters.zendesk.users import get_of, is_customer, users_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.sdk import Customer, Ticket
    from crm_adapters.zendesk.users import User

_READ = 50
"""Users of one search: numbers of several countries may end alike."""
_BAD_REQUEST, _CONFLICT = 400, 409
_DIGITS = re.compile(r"[0-9]+", re.ASCII)


class ZendeskAdapter(HttpCrmAdapter[ZendeskOptions]):
    """Only ever asks: no user is created, whoever calls.

    The search index holds digits. It is asked for numbers that end like the caller's, in whatever
    country; whose number it really is, is checked here.
    """

    name = "zendesk"
    rights = "an agent, with the scope `read` (for tickets `read tickets:write`)"
    options_type = ZendeskOptions
    token = TokenPlace(url="/oauth/tokens", scope="read", takes_json=True)
    max_body_bytes = 1_048_576

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        endings = _endings(self.spellings(phone))
        queries = [f"{word}:*{end}" for word in self.options.phone_words for end in endings]
        pages = await at_once(*(self._search(query) for query in queries))
        users = {user.get("id"): user for page in pages for user in page if is_customer(user)}
        listed = self.with_numbers(users.values(), get_of)
        more = any(len(page) >= _READ for page in pages)
        return self.found_by_phone(listed, phone, get_of, more=more)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        if place.startswith(USER_FIELD):
            text = plain_text(reference.value, quote='"')
            users = await self._search(f"{place.removeprefix(USER_FIELD)}:{text}")
        else:
            users = await self._users({place: reference.value})
        customers = filter(is_customer, users)
        return self.found_by_reference(customers, reference, get_of, more=len(users) >= _READ)

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """Known by its external id, and for two hours also by the key of the request.

        Without a customer it belongs to the agent behind the token: naming somebody whom Zendesk
        does not know would create a user.
        """
        known = await self._ticket(ticket.reference)
        if known is not None:
            return known
        content = {
            **self.options.ticket,
            **({} if ticket.customer_id is None else {"requester_id": _id(ticket.customer_id)}),
            "external_id": ticket.reference,
            "subject": ticket.subject,
            "comment": {"body": ticket.text, "public": False},
        }
        reply = await self.ask(
            "POST",
            "/api/v2/tickets",
            json={"ticket": content},
            headers={"Idempotency-Key": ticket.reference},
            accept=frozenset({_BAD_REQUEST, _CONFLICT}),
        )
        if reply.status == _CONFLICT:
            raise TemporaryError(f"{self.name}: the ticket is just being opened")
        if reply.status == _BAD_REQUEST:
            # Zendesk knows the key, with other words than now: then it has the ticket as well.
            known = await self._ticket(ticket.reference)
            if known is None:
                raise self.refused(reply)
            return known
        return self._ticket_ref(one_at(reply.body, "ticket"))

    def record_url(self, record: User) -> str | None:
        return self.page(f"/agent/users/{record.get('id')}")

    async def ping(self) -> str:
        """Asks besides who we are and which custom fields exist: a search never tells."""
        done = await super().ping()
        told = (await self.ask("GET", "/api/v2/users/me")).body
        me = told.get("user") if isinstance(told, Mapping) else None
        if not isinstance(me, Mapping) or me.get("role") not in {"agent", "admin"}:
            raise PermanentError(f"{self.name}: a right is missing; needed: {self.rights}")
        unknown = [name for name in self._attributes if name not in me]
        unknown += await self._unknown(USER_FIELD, "user_fields")
        unknown += await self._unknown(ORGANIZATION_FIELD, "organization_fields")
        if unknown:
            raise ConfigError(f"{self.name}: there is no field called {', '.join(unknown)}")
        return done

    @property
    def _attributes(self) -> list[str]:
        """Attributes of a user that are needed; `tags` are there only where they are in use."""
        idle = set() if self.options.premium and self.options.premium.tags else {"tags"}
        places = [place for place in self.options.places if "." not in place]
        return [place for place in places if place not in idle | {"identities"}]

    async def _search(self, query: str) -> list[User]:
        return await self._users({"query": f"role:end-user {query}"})

    async def _users(self, asked: Mapping[str, str]) -> list[User]:
        params = {**asked, **self.options.sideloads, "per_page": str(_READ)}
        reply = await self.ask("GET", "/api/v2/users/search", params=params)
        return users_of(reply.body, with_organizations=self.options.reads_organizations)

    async def _ticket(self, reference: str) -> TicketRef | None:
        reply = await self.ask("GET", "/api/v2/tickets", params={"external_id": reference})
        listed = list_at(reply.body, "tickets")
        found = [ticket for ticket in listed if ticket.get("external_id") == reference]
        return self._ticket_ref(found[0]) if found else None

    def _ticket_ref(self, ticket: Mapping[str, Any]) -> TicketRef:
        identity = str(ticket.get("id"))
        return TicketRef(identity, self.page(f"/agent/tickets/{identity}"))

    async def _unknown(self, prefix: str, kind: str) -> list[str]:
        """Which of the places below `prefix` are no custom field of this kind."""
        places = [place for place in self.options.places if place.startswith(prefix)]
        if not places:
            return []
        reply = await self.ask("GET", f"/api/v2/{kind}", params={"per_page": "100"})
        keys = {field.get("key") for field in list_at(reply.body, kind)}
        if reply.body.get("next_page") is not None:
            return []  # the rest may be on another page, and a search for nobody is no harm
        return [place for place in places if place.removeprefix(prefix) not in keys]


def _endings(spellings: Iterable[str]) -> list[str]:
    """The digits in which a stored number must end: as few as there can be for all spellings."""
    digits = {"".join(_DIGITS.findall(spelling)) for spelling in spellings} - {""}
    return sorted(
        one for one in digits if not any(one != other and one.endswith(other) for other in digits)
    )


def _id(customer_id: str) -> int:
    if not customer_id.isdecimal():
        raise PermanentError("the customer's id is none of Zendesk's")
    return int(customer_id)
