"""The fixture: who calls the sandbox and what its CRM knows. Everything is computed, no table.

All numbers are reserved for drama by the German regulator, so nobody can be called or written to.
docs/demo-data.md is the human page of this module; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HOTLINE = "+491713920000"
"""The number that callers dial unless a call names another one."""
WRONG_REFERENCES = ("0000001", "0000002", "0000003")
"""Well-formed references that belong to nobody and never will."""
PUSH_TOKEN = "sandbox-push-"  # noqa: S105 - of apps that do not exist
"""What every push token begins with; the customer's id follows."""

_NOT_DIGITS = re.compile(r"[^0-9]")
_TRACK_ID = re.compile(r"TRK-([A-Z-]+)-([0-9]{3})", re.ASCII)
_FIRST_NAMES = ("Ada", "Ben", "Carla", "David", "Elif", "Felix", "Greta", "Hannes", "Ines", "Jonas")
_LAST_NAMES = ("Albrecht", "Brandt", "Conrad", "Demir", "Engel", "Fuchs", "Graf", "Huber", "Jansen")


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of customer; there is one of it for every number of its persona."""

    name: str
    reference_prefix: str
    """Four digits, different for every profile; the number's last three digits follow."""
    premium: bool


@dataclass(frozen=True, slots=True)
class CrmCustomer:
    """A customer as the sample CRM stores it."""

    id: str
    email: str
    premium: bool
    track_id: str
    reference: str
    name: str
    language: str
    phones: tuple[str, ...]
    push_tokens: tuple[str, ...] = ()
    """Of the shop's app on his phone; none if he does not have it."""


@dataclass(frozen=True, slots=True)
class Persona:
    """A range of caller numbers that all behave alike."""

    name: str
    city: str
    prefix: str
    """E.164 without the last digits."""
    profiles: tuple[Profile, ...]
    """Whoever shares the number; the first one is who calls and types a reference."""
    known_by_number: bool = True
    """False: the CRM finds this caller by reference only."""
    answers_after_s: float = 0
    """How long the CRM thinks about this persona."""
    digits: int = 3
    """How many follow the prefix. Of mobile numbers the regulator reserves a hundred at a time."""
    first: int = 0
    """The first number of the range that is a caller's."""
    has_app: bool = False
    """Whether the shop may push messages to the app on his phone."""
    has_whatsapp: bool = True
    """Nobody can ask: whoever has none is told of by a receipt, later."""

    @property
    def suffixes(self) -> range:
        return range(self.first, 10**self.digits)

    def number(self, suffix: int) -> str:
        return f"{self.prefix}{suffix:0{self.digits}d}"

    def suffix_of(self, digits: str) -> int | None:
        """The last of a number's digits; None if it is not of this range."""
        rest = digits.removeprefix(digits_of(self.prefix))
        ours = rest != digits and len(rest) == self.digits and int(rest) in self.suffixes
        return int(rest) if ours else None

    def caller(self, suffix: int) -> CrmCustomer:
        return self.customer(self.profiles[0], suffix)

    def customer(self, profile: Profile, suffix: int) -> CrmCustomer:
        customer_id = f"{profile.name}-{suffix:03d}"
        first = _FIRST_NAMES[suffix % len(_FIRST_NAMES)]
        last = _LAST_NAMES[suffix % len(_LAST_NAMES)]
        return CrmCustomer(
            id=customer_id,
            email=f"{customer_id}@example.com",
            premium=profile.premium,
            track_id=f"TRK-{customer_id.upper()}",
            reference=f"{profile.reference_prefix}{suffix:03d}",
            name=f"{first} {last}",
            language="en" if suffix % 2 else "de",
            phones=(self.number(suffix),) if self.known_by_number else (),
            push_tokens=(f"{PUSH_TOKEN}{customer_id}",) if self.has_app else (),
        )


@dataclass(frozen=True, slots=True)
class CrmAnswer:
    """Whom the CRM finds and how many seconds it takes to say so."""

    customers: tuple[CrmCustomer, ...] = ()
    after_s: float = 0


PERSONAS = (
    Persona("premium", "Berlin", "+493023125", (Profile("premium", "2001", premium=True),)),
    Persona("standard", "Frankfurt", "+496990009", (Profile("standard", "3001", premium=False),)),
    Persona(
        "unknown",
        "Hamburg",
        "+494066969",
        (Profile("unknown", "4001", premium=False),),
        known_by_number=False,
    ),
    Persona(
        "shared",
        "Köln",
        "+492214710",
        (
            Profile("shared-premium", "5001", premium=True),
            Profile("shared-standard", "5002", premium=False),
        ),
    ),
    Persona(
        "slow",
        "München",
        "+498999998",
        (Profile("slow", "6001", premium=True),),
        answers_after_s=2.5,
    ),
    Persona(
        "mobile",
        "mobile",
        "+49176040690",
        (Profile("mobile", "7001", premium=True),),
        digits=2,
        has_app=True,
        has_whatsapp=False,
    ),
    Persona(
        "mobile-standard",
        "mobile",
        "+4917139200",
        (Profile("mobile-standard", "8001", premium=False),),
        digits=2,
        first=1,  # the hotline is the number before
    ),
)


@dataclass(frozen=True, slots=True)
class Fixture:
    """What the sandbox's CRM knows. Lookups of what nobody has give an empty answer or None."""

    personas: tuple[Persona, ...] = PERSONAS

    def persona(self, name: str) -> Persona | None:
        return next((persona for persona in self.personas if persona.name == name), None)

    def owner(self, number: str) -> tuple[Persona, int] | None:
        """Whose range `number` (any spelling with country code) is in, and its last digits."""
        digits = digits_of(number)
        for persona in self.personas:
            if (suffix := persona.suffix_of(digits)) is not None:
                return persona, suffix
        return None

    def by_phone(self, number: str) -> CrmAnswer:
        owner = self.owner(number)
        if owner is None:
            return CrmAnswer()
        persona, suffix = owner
        known = persona.profiles if persona.known_by_number else ()
        customers = tuple(persona.customer(profile, suffix) for profile in known)
        return CrmAnswer(customers, persona.answers_after_s)

    def by_reference(self, reference: str) -> CrmAnswer:
        for persona in self.personas:
            for profile in persona.profiles:
                suffix = reference.removeprefix(profile.reference_prefix)
                if _is_of(persona, suffix):
                    customer = persona.customer(profile, int(suffix))
                    return CrmAnswer((customer,), persona.answers_after_s)
        return CrmAnswer()

    def by_track_id(self, track_id: str) -> CrmCustomer | None:
        match = _TRACK_ID.fullmatch(track_id)
        if match is None:
            return None
        for persona in self.personas:
            for profile in persona.profiles:
                if profile.name.upper() == match[1] and _is_of(persona, match[2]):
                    return persona.customer(profile, int(match[2]))
        return None

    def by_push_token(self, token: str) -> CrmCustomer | None:
        """Whose app has this token."""
        name, _, suffix = token.removeprefix(PUSH_TOKEN).rpartition("-")
        persona = self.persona(name)
        if persona is None or not _is_of(persona, suffix):
            return None
        customer = persona.caller(int(suffix))
        return customer if token in customer.push_tokens else None


def _is_of(persona: Persona, suffix: str) -> bool:
    three = re.fullmatch(r"[0-9]{3}", suffix, re.ASCII)
    return three is not None and int(suffix) in persona.suffixes


def digits_of(number: str) -> str:
    """The digits of a number in any international spelling, without the dialled `00`."""
    return _NOT_DIGITS.sub("", number).removeprefix("00")
