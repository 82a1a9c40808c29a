"""What a handle stands for, as the agent's system gets it."""

from __future__ import annotations

from broker.domain.context import ContextRules, about_call, context_of
from broker.domain.customer import Customer
from broker.domain.identities import Identity, joined
from broker.domain.messages import DEFLECTION, CrmEntry, EntryState, Message, MessageState
from broker.domain.record import CallData, Record
from broker.usecases.context import Told
from broker.usecases.handles import Held
from broker.web.contexts import _answer

MESSAGE = Message(
    DEFLECTION,
    "sms",
    0.0,
    0.0,
    state=MessageState.REPLIED,
    handle="h" * 24,
    ticket=CrmEntry("desk", EntryState.KEPT, id="4711", url="https://desk.example/4711"),
)


def told(record: Record, message: Message = MESSAGE, *fields: str) -> dict[str, object]:
    """The answer's JSON."""
    context = context_of(record, message, ContextRules(fields))
    held = Held(record, message, 86_400.0)
    answer = _answer(Told(held, context, about_call(record, message)))
    return answer.model_dump(mode="json")


def test_ticket_identities_and_lists_are_told() -> None:
    customer = Customer("c1", tags=("vip", "b2b"))
    record = Record("call1", 0.0, 0.0, CallData(to="+493023125000"), customer=customer)
    identity = Identity.read("whatsapp", "491713920001")
    assert identity is not None
    shown = told(joined(record, identity), MESSAGE, "tags")
    assert shown["crm_ticket"] == {
        "crm": "desk",
        "state": "kept",
        "id": "4711",
        "url": "https://desk.example/4711",
    }
    assert shown["identities"] == [{"kind": "whatsapp", "value": "+491713920001"}]
    assert shown["customer"] == {"tags": ["vip", "b2b"]}
    assert (shown["state"], shown["expires_at"]) == ("replied", "1970-01-02T00:00:00.000+00:00")


def test_neither_the_handle_nor_whom_it_was_sent_to_is_repeated() -> None:
    message = Message(DEFLECTION, "sms", 0.0, 0.0, handle="h" * 24, to="+491713920009")
    shown = str(told(Record("call1", 0.0, 0.0), message))
    assert "h" * 24 not in shown
    assert "+491713920009" not in shown
