"""The people whom a CRM under test has to hold, as it might have stored them."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.call import Phone, Reference

_BERLIN = "+493023125{:03}"


@dataclass(frozen=True, slots=True)
class Person:
    """One record to put into the CRM under test, in whatever form it keeps such things."""

    id: str
    """A number: many CRMs have no other ids."""
    phones: tuple[str, ...]
    """As stored; national spellings are German."""
    reference: str
    email: str | None = None
    premium: bool | None = None
    track_id: str | None = None
    name: str | None = None
    language: str | None = None

    @property
    def phone(self) -> Phone:
        """The first number, as the broker asks for it."""
        return self.all_phones[0]

    @property
    def all_phones(self) -> tuple[Phone, ...]:
        read = (Phone.read(spelled, "DE") for spelled in self.phones)
        return tuple(phone for phone in read if phone is not None)

    @property
    def typed(self) -> Reference:
        """The reference as a caller types it where letters can be typed."""
        return Reference(Reference.plain(self.reference))


ADA = Person(
    id="101",
    phones=("+493023125001",),
    reference="1000001",
    email="ada@example.com",
    premium=True,
    track_id="T-1001",
    name="Ada Löwe-O'Hara",
    language="en",
)
BOB = Person(
    id="102",
    phones=("+49 30 23125002", "+491701234567"),
    reference="1000002",
    email="bob@example.com",
    premium=False,
    track_id="T-1002",
    name='Bob, the "second"; son',
    language="de",
)
CAROL = Person("103", ("+493023125003",), "1000003", "carol@example.com", premium=True)
DAN = Person("104", ("+493023125003",), "1000004", "dan@example.com", premium=False)
"""Shares Carol's number."""
EVE = Person("105", ("+493023125005",), "1000005")
"""Of whom nothing else is known."""
FAY = Person("106", ("+443023125001",), "1000006", "fay@example.com", premium=False)
"""Has Ada's national number, in another country."""
GUS = Person("107", ("+493023125007",), "AB10007", "gus@example.com")
HAL = Person("108", ("+493023125008",), "CA10007", "hal@example.com")
"""Types the same keys as Gus."""
IDA = Person("109", ("+493023125009",), "ab10009", "ida@example.com")
"""Whose reference is stored in small letters."""
SPELLED = tuple(
    Person(f"2{i:02}", (Phone.from_e164(_BERLIN.format(100 + i)).spellings[i],), f"20000{i:02}")
    for i in range(len(Phone.from_e164(_BERLIN.format(100)).spellings))
)
"""One person for each way in which a CRM may have spelled a number."""
PEOPLE = (ADA, BOB, CAROL, DAN, EVE, FAY, GUS, HAL, IDA, *SPELLED)

STRANGER = Phone.from_e164("+493023125999")
"""Nobody's number."""
UNKNOWN = Reference("9999999")
"""Nobody's reference."""
