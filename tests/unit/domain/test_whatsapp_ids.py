"""Which number stands behind a WhatsApp id, where the country has changed its numbers since."""

from __future__ import annotations

import pytest

from broker.domain.call import Phone
from broker.domain.whatsapp_ids import number_of


@pytest.mark.parametrize(
    ("whatsapp_id", "number"),
    [
        ("5215512345678", "+525512345678"),
        ("+5215512345678", "+525512345678"),
        ("5218181234567", "+528181234567"),
        ("557188654321", "+5571988654321"),
        ("+551196543210", "+5511996543210"),
        ("558568765432", "+5585968765432"),
    ],
)
def test_an_older_number_is_the_one_that_is_dialled_now(whatsapp_id: str, number: str) -> None:
    assert number_of(whatsapp_id) == number
    assert Phone.read(number) is not None
    assert number_of(number) == number


@pytest.mark.parametrize(
    "number",
    [
        "+525512345678",
        "+521234567890",
        "+5571988654321",
        "+551132345678",
        "+557121234567",
        "+551178123456",
        "+558008765432",
        "+4915112345678",
        "+5491123456789",
        "+521551234567",
        "+52155123456789",
        "+12125215512",
        "+5521",
    ],
    ids=[
        "Mexico",
        "Mexico, ten digits from 1",
        "Brazil",
        "Brazil, fixed",
        "Brazil, fixed elsewhere",
        "Brazil, trunked radio",
        "Brazil, toll-free",
        "Germany",
        "Argentina",
        "one digit less",
        "one digit more",
        "United States",
        "nobody",
    ],
)
def test_every_other_number_is_left_as_it_is(number: str) -> None:
    assert number_of(number) == number_of(number.removeprefix("+")) == number
