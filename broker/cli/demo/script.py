"""The scripted calls (docs/demo-data.md): what happens in each, and how it must end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.sandbox.personas import WRONG_REFERENCES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.cli.demo.flow import CallFlow


async def premium_number(call: CallFlow) -> None:
    """A premium customer calls from his own number."""
    await call.rings("premium")
    await call.starts()
    await call.session_shows("found", "premium")
    await call.hangs_up()
    await call.ends_as("premium", messages=0)


async def standard_number(call: CallFlow) -> None:
    """A standard customer calls and gets the tracking link by email."""
    await call.rings("standard")
    await call.starts()
    await call.session_shows("found", "self_service")
    await call.gets_mail()
    await call.opens_link()
    await call.hangs_up()
    await call.ends_as("messaged", messages=1)


async def unknown_number(call: CallFlow) -> None:
    """A customer calls from a number nobody knows, and types his reference."""
    await call.rings("unknown")
    await call.starts()
    await call.session_shows("not_found", "reference")
    await call.types(call.call["reference"])
    await call.session_shows("found", "self_service", times=2)
    await call.gets_mail()
    await call.hangs_up()
    await call.ends_as("messaged", messages=1)


async def withheld_number(call: CallFlow) -> None:
    """Somebody withholds his number and guesses references."""
    await call.rings("unknown", anonymous=True)
    await call.starts()
    await call.session_shows("withheld", "reference")
    for nth, reference in enumerate(WRONG_REFERENCES, start=2):
        await call.types(reference)
        last = nth > len(WRONG_REFERENCES)
        await call.session_shows("not_found", "standard" if last else "reference", times=nth)
    await call.hangs_up()
    await call.ends_as("no_match", messages=0)


async def shared_number(call: CallFlow) -> None:
    """Two customers share one number; the premium one types his reference."""
    await call.rings("shared")
    await call.starts()
    await call.session_shows("ambiguous", "reference")
    await call.types(call.call["reference"])
    await call.session_shows("found", "premium", times=2)
    await call.hangs_up()
    await call.ends_as("premium", messages=0)


async def slow_crm(call: CallFlow) -> None:
    """The CRM needs 2.5 s: the deadline is kept, and the late answer still counts."""
    await call.rings("slow")
    await call.starts()
    await call.session_shows("timeout", "reference")
    await call.session_shows("found", "premium", times=2)
    await call.hangs_up()
    await call.ends_as("premium", messages=0)


async def repeated_start(call: CallFlow) -> None:
    """The call-start comes three times, and once more from an agent's leg."""
    await call.rings("standard")
    for _ in range(3):
        await call.starts()
    await call.starts(child_leg=True)
    await call.session_shows("found", "self_service")
    await call.gets_mail()
    await call.waits(0.3)
    await call.hangs_up()
    await call.ends_as("messaged", messages=1)


async def moved_to_sms(call: CallFlow) -> None:
    """A premium customer presses 1, goes on by SMS, answers, and calls again."""
    await call.rings("mobile")
    await call.starts()
    await call.session_shows("found", "premium")
    await call.presses("1", "deflect")
    await call.gets_text()
    await call.session_has("ivr.deflection", "delivered")
    await call.hangs_up()
    await call.replies("It is about my last order")
    await call.message_is("sms", "replied")
    await call.ends_as("messaged", messages=1)
    await call.rings_again()
    await call.starts()
    await call.session_has("ivr.deflected_before", value=True)
    await call.hangs_up()
    await call.ends_as("premium", messages=0)


async def refused_by_whatsapp(call: CallFlow) -> None:
    """WhatsApp takes the message and then says that he is not there: he gets an SMS."""
    await call.rings("mobile")
    await call.starts()
    await call.session_shows("found", "premium")
    await call.is_deflected("whatsapp")
    await call.gets_text()
    await call.message_is("sms", "sent", "delivered")
    await call.hangs_up()
    await call.ends_as("messaged", messages=1)


async def early_hang_up(call: CallFlow) -> None:
    """The caller hangs up before anything was found."""
    await call.rings("slow")
    await call.starts()
    await call.waits(0.2)
    await call.hangs_up()
    await call.ends_as("call_gone", messages=0)


SCRIPT: dict[int, Callable[[CallFlow], Awaitable[None]]] = {
    1: premium_number,
    2: standard_number,
    3: unknown_number,
    4: withheld_number,
    5: shared_number,
    6: slow_crm,
    7: repeated_start,
    8: moved_to_sms,
    9: refused_by_whatsapp,
    10: early_hang_up,
}
"""The numbers are those of docs/demo-data.md."""
