"""Who is found through an API: what only a vendor that is played can be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import PermanentError
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.people import ADA, CAROL, FAY
from broker.testing.vendor import crowd

if TYPE_CHECKING:
    from broker.ports import CrmAdapter
    from broker.testing.vendor import FakeVendor

MANY = 10_000
SCRIPTS = {
    "Chinese": "王 小明",
    "Polish": "Łukasz Żółć",
    "Arabic": "محمد علي",
    "emoji": "Zoë 😀",
    "code": """O'Neill \\ "Ned" <b>&amp;</b> %s {0}""",
}
HUGE = 1_000_000
"""Characters of one value."""


class FoundQuestions:
    """A part of `HttpCrmAdapterKit`."""

    async def test_a_switchboard_is_several_people(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(person) for person in crowd(CAROL, 5)]
        assert len(await by_phone(adapter, CAROL.phone)) > 1

    async def test_ten_thousand_matches_are_several_people_or_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(person) for person in crowd(CAROL, MANY)]
        try:
            found = await by_phone(adapter, CAROL.phone)
        except PermanentError:
            return
        assert len(found) > 1

    async def test_who_shares_a_number_is_not_hidden_by_many_who_only_look_alike(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        """The crowd has the national number of another country, spelled without its code."""
        alike = crowd(replace(FAY, phones=(FAY.phone.national,)), MANY)
        both = (FAY, replace(FAY, id="907", reference="1000907", email=None))
        vendor.records = [vendor.record(person) for person in (both[0], *alike, both[1])]
        try:
            found = await by_phone(adapter, FAY.phone)
        except PermanentError:
            return
        assert ids(found) == {person.id for person in both}

    async def test_a_record_without_anything_but_its_number_is_found(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        bare = type(ADA)("901", ADA.phones, ADA.reference)
        vendor.records = [vendor.record(bare)]
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.email is None
        assert found.premium is not True

    async def test_a_huge_record_is_found_or_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(replace(ADA, name="x" * HUGE))]
        try:
            found = await by_phone(adapter, ADA.phone)
        except PermanentError:
            return
        assert ids(found) == {ADA.id}

    @pytest.mark.parametrize("name", SCRIPTS.values(), ids=SCRIPTS)
    async def test_a_name_in_any_script_arrives_unchanged(
        self, vendor: FakeVendor, adapter: CrmAdapter, name: str
    ) -> None:
        vendor.records = [vendor.record(replace(ADA, name=name))]
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.name == name

    async def test_a_customer_who_was_found_by_number_is_the_same_by_reference(
        self, adapter: CrmAdapter
    ) -> None:
        (one,) = await by_phone(adapter, ADA.phone)
        (other,) = await by_reference(adapter, ADA.typed)
        assert one == other
