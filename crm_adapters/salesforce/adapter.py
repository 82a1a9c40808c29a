"""The CRM adapter for Salesforce: one request for each lookup; cases as tickets, tasks as notes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from broker.sdk import (
    ConfigError,
    HttpCrmAdapter,
    PermanentError,
    Phone,
    Reference,
    Reply,
    TemporaryError,
    TicketRef,
    TokenPlace,
    list_at,
)
from crm_adapters.salesforce.options import OBJECTS, Object, SalesforceOptions
from crm_adapters.salesforce.refusals import ADVICE, PASSING, code_of
from crm_adapters.salesforce.statements import SEARCH_READS, by_reference, one_id, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.sdk import CallNote, Customer, Get, Ticket

_OK = range(200, 300)
_BAD_REQUEST = 400
_REFUSED = frozenset({_BAD_REQUEST})
_SERVER_FAULT = 500
_LONGEST_SUBJECT = 255
_ACCOUNT, _LEAD = "001", "00Q"
"""How the ids of these objects begin (Salesforce, "Object Key Prefixes")."""


class SalesforceAdapter(HttpCrmAdapter[SalesforceOptions]):
    """SOSL over all objects by number, SOQL over each by reference.

    The search index splits numbers at spaces and punctuation and knows nothing of countries, so
    it is asked for every spelling; whose number it really is, is checked here.
    """

    name = "salesforce"
    rights = "`API Enabled`, and to read the objects (`View All`) and fields named in the options"
    options_type = SalesforceOptions
    token = TokenPlace(url="/services/oauth2/token")

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        (answer,) = await self._batch("search", search(self.options, self.spellings(phone)))
        found = list_at(answer, "searchRecords")
        listed = self.with_numbers(found, self._get)
        return self.found_by_phone(listed, phone, self._get, more=len(found) >= SEARCH_READS)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        queries = by_reference(self.options, reference)
        answers = await self._batch("query", *queries) if queries else []
        found = [record for answer in answers for record in list_at(answer, "records")]
        return self.found_by_reference(found, reference, self._get)

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """A case. The unique field makes it one, also if two replicas open it at the same time."""
        field = self.options.ticket_reference
        if field is None:
            raise ConfigError("salesforce: tickets need the option ticket_reference")
        known = await self._ticket(field, ticket.reference)
        if known is not None:
            return known
        case = {
            **self.options.ticket_fields,
            **_case_of(ticket.customer_id),
            field: ticket.reference,
            "Subject": ticket.subject[:_LONGEST_SUBJECT],
            "Description": ticket.text,
        }
        reply = await self.ask("POST", self._path("sobjects/Case"), json=case, accept=_REFUSED)
        if code_of(reply.body) == "DUPLICATE_VALUE":
            known = await self._ticket(field, ticket.reference)
        if known is not None:
            return known
        if reply.status == _BAD_REQUEST:
            raise self.refused(reply)
        return self._ticket_ref(reply.body, "id")

    async def record_outcome(self, note: CallNote) -> None:
        """A completed task on the record, its call object identifier being the call's id."""
        field = "WhatId" if note.customer_id.startswith(_ACCOUNT) else "WhoId"
        marks = {"CallObject": note.call_id, field: note.customer_id}
        (known,) = await self._batch("query", one_id("Task", **marks))
        if list_at(known, "records"):
            return
        task = {
            **marks,
            "Subject": "Call",
            "Description": note.text,
            "Status": "Completed",
            "TaskSubtype": "Call",
            "CallType": "Inbound",
            "CallDisposition": note.outcome,
            "ActivityDate": datetime.fromtimestamp(note.began_at, UTC).date().isoformat(),
        }
        await self.ask("POST", self._path("sobjects/Task"), json=task)

    async def ping(self) -> str:
        """Tries what lookups need, and looks for a ticket if there shall be any."""
        found = await super().ping()
        if self.options.ticket_reference is None:
            return found
        await self._ticket(self.options.ticket_reference, "0")
        return f"{found}, and tickets"

    def record_url(self, record: Any) -> str | None:
        return self._opens(_kind(record), record.get("Id"))

    def refused(self, reply: Reply) -> PermanentError | TemporaryError:
        """Salesforce answers 403 to what it would take tomorrow, and 400 to what it would now."""
        passing = PASSING.get(code_of(reply.body))
        if passing is None and reply.status < _SERVER_FAULT:
            return super().refused(reply)
        return TemporaryError(f"{self.name}: HTTP {reply.status}: {passing or 'it is unwell'}")

    def advice(self, refused: Reply) -> str:
        return ADVICE.get(code_of(refused.body)) or super().advice(refused)

    async def _batch(self, resource: str, *statements: str) -> list[Any]:
        """What each statement finds, asked in one request.

        A batch even for one statement: in its body no number and no reference stands in a URL,
        which proxies like to write down.
        """
        version = self.options.api_version
        requests = [
            {"method": "GET", "url": f"{version}/{resource}/?q={quote(statement, safe='')}"}
            for statement in statements
        ]
        path = self._path("composite/batch")
        reply = await self.ask("POST", path, json={"batchRequests": requests})
        answers = [self._result(answer) for answer in list_at(reply.body, "results")]
        if len(answers) != len(statements):
            raise PermanentError("the answer has another shape than documented")
        return answers

    def _result(self, answer: Mapping[str, Any]) -> Any:
        """What one request of a batch found; its refusal is that of the whole."""
        status, result = answer.get("statusCode"), answer.get("result")
        if not isinstance(status, int):
            raise PermanentError("the answer has another shape than documented")
        if status not in _OK:
            raise self.refused(Reply(status, result, {}))
        return result

    async def _ticket(self, field: str, reference: str) -> TicketRef | None:
        (answer,) = await self._batch("query", one_id("Case", **{field: reference}))
        found = list_at(answer, "records")
        return self._ticket_ref(found[0], "Id") if found else None

    def _ticket_ref(self, case: Any, key: str) -> TicketRef:
        identity = case.get(key) if isinstance(case, Mapping) else None
        if not isinstance(identity, str):
            raise PermanentError("the answer has another shape than documented")
        return TicketRef(identity, self._opens("Case", identity))

    def _opens(self, kind: str, identity: object) -> str:
        return self.page(f"/lightning/r/{kind}/{identity}/view")

    def _path(self, resource: str) -> str:
        return f"/services/data/{self.options.api_version}/{resource}"

    def _get(self, record: Any) -> Get:
        kind = _kind(record)

        def get(place: str) -> object:
            name = self.options.own_name(kind, place)
            return _value(record, name) if name is not None else None

        return get


def _kind(record: Mapping[str, Any]) -> Object:
    """Of which object a record is."""
    attributes = record.get("attributes")
    named = attributes.get("type") if isinstance(attributes, Mapping) else None
    for kind in OBJECTS:
        if kind == named:
            return kind
    raise PermanentError("a record came of an object that nobody asked for")


def _value(record: object, name: str) -> object:
    """The value of `Tier__c`, or of `Account.Tier__c` through the record of the account."""
    for part in name.split("."):
        record = record.get(part) if isinstance(record, Mapping) else None
    return record


def _case_of(customer_id: str | None) -> dict[str, str]:
    """Whose case it is; a lead can have none."""
    if customer_id is None or customer_id.startswith(_LEAD):
        return {}
    return {"AccountId" if customer_id.startswith(_ACCOUNT) else "ContactId": customer_id}
