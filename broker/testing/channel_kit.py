"""What every channel has to promise, as tests to inherit."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    PermanentError,
    TemporaryError,
)
from broker.domain.messages import TRACKING
from broker.ports import Envelope
from broker.testing.channel_callbacks import ADDRESS, ChannelCallbacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.ports import Channel, VendorTemplate

WITHIN_S = 20.0
"""Ample time, for messages that are expected to be taken."""
TIGHT_S = 0.2
GRACE_S = 5.0
"""What a busy test machine may add to a deadline."""
CANARIES = ("Canary Smith", "CANARY-ORDER", "canary-link")
HOSTILE = {
    "line ends": "Eve\r\nBcc: eve@example.net\r\n\r\nbody",
    "nul and separators": "Eve\x00\x0b\u2028\u2029\x85Mallory",
    "directions": "\u202eevE\u2066",
    "template": "{{ 7*7 }}{% for x in range(9) %}{{ x }}{% endfor %}{0.__class__}${x}%s",
    "markup": "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "address list": "Eve <eve@example.net>, Mallory <mallory@example.net>;",
    "lone surrogate": "Eve\ud800",
    "length": "x" * 100_000,
    "nothing": "",
}
WORDS = "Grüße {link} <b>100 %</b> ${x} {{ 7*7 }}"
"""Ready to be sent: no template language has anything to do in it."""


class ChannelKit(ChannelCallbacks, ABC):
    """For every channel. Subclass it as `Test...` and add an async fixture `channel`.

    The fixture returns a channel whose provider takes everything; the methods below change that.
    """

    to: ClassVar[str] = "canary@example.com"
    """Somebody whom the provider can reach."""
    taken_when_sent: ClassVar[bool] = False
    """Whether a request that went out may have its effect, as with HTTP: then a provider that hangs
    leaves it unknown. By SMTP nothing is taken before the end of the mail."""
    template: ClassVar[VendorTemplate | None] = None
    """For a channel with `needs_template`: one that its provider has approved, its last parameter
    for `WORDS`."""

    @abstractmethod
    async def taken(self) -> Sequence[str]:
        """To whom the provider has messages, one entry per message, oldest first."""

    @abstractmethod
    async def said(self) -> Sequence[str]:
        """What the provider was told to say, one text per message, oldest first."""

    @abstractmethod
    async def refuse_for_now(self) -> None:
        """From now on the provider refuses, and says that later it may not."""

    @abstractmethod
    async def refuse_for_good(self) -> None:
        """From now on the provider refuses this recipient or this message."""

    @abstractmethod
    async def lose_answers(self) -> None:
        """From now on the provider takes messages, and its answer does not arrive."""

    @abstractmethod
    async def hang(self) -> None:
        """From now on the provider takes connections and says nothing, before it took anything."""

    @abstractmethod
    async def vanish(self) -> None:
        """From now on the provider cannot be reached."""

    @abstractmethod
    async def recover(self) -> None:
        """The provider takes everything again; not after `vanish`."""

    def envelope(self, reference: str = "c1|tracking", **values: str) -> Envelope:
        shown = {"name": CANARIES[0], "track_id": CANARIES[1]} | values
        link = f"https://shop.example.com/{CANARIES[2]}"
        return Envelope(reference, TRACKING, self.to, "de-AT", {"link": link} | shown)

    def words(self, text: str = WORDS) -> Envelope:
        """What a caller asked for with a key: words, an approved message, or both."""
        template = self.template
        if template is not None:
            template = replace(template, parameters=(*template.parameters[:-1], text))
        return replace(
            self.envelope("c1|deflection"),
            purpose="deflection",
            values={},
            text=text,
            title="About your call",
            template=template,
            data={"context": "canary-handle"},
            receipt_url=f"{ADDRESS}?m=r1.1",
            receipt_reference="r1.1",
        )

    async def test_a_message_reaches_its_recipient_once(self, channel: Channel) -> None:
        provider_id = await channel.send(self.envelope(), within=WITHIN_S)
        assert provider_id is None or provider_id
        assert list(await self.taken()) == [self.to]

    async def test_a_language_without_templates_is_served_all_the_same(
        self, channel: Channel
    ) -> None:
        for n, language in enumerate(("tlh", "not a language", None)):
            envelope = replace(self.envelope(f"c{n}|tracking"), language=language)
            await channel.send(envelope, within=WITHIN_S)
        assert list(await self.taken()) == [self.to] * 3

    async def test_a_value_that_is_absent_is_done_without(self, channel: Channel) -> None:
        envelope = self.envelope()
        bare = replace(envelope, values={"link": envelope.values["link"]})
        await channel.send(bare, within=WITHIN_S)
        assert list(await self.taken()) == [self.to]

    async def test_messages_sent_at_the_same_time_all_arrive(self, channel: Channel) -> None:
        envelopes = [self.envelope(f"c{n}|tracking") for n in range(10)]
        await asyncio.gather(*(channel.send(one, within=WITHIN_S) for one in envelopes))
        assert list(await self.taken()) == [self.to] * 10

    @pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
    async def test_a_hostile_name_adds_no_recipient(self, channel: Channel, value: str) -> None:
        try:
            await channel.send(self.envelope(name=value), within=WITHIN_S)
        except PermanentError:
            assert list(await self.taken()) == []
        else:
            assert list(await self.taken()) == [self.to]

    async def test_words_that_are_ready_are_sent_as_they_are(self, channel: Channel) -> None:
        assert channel.needs_template is (self.template is not None)
        await channel.send(self.words(), within=WITHIN_S)
        assert list(await self.taken()) == [self.to]
        [said] = await self.said()
        assert WORDS in said

    async def test_a_picture_never_costs_anybody_the_words(self, channel: Channel) -> None:
        media = "https://shop.example.com/picture.png"
        await channel.send(replace(self.words(), media_url=media), within=WITHIN_S)
        [said] = await self.said()
        assert WORDS in said

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    async def test_hostile_words_reach_one_person_or_nobody(
        self, channel: Channel, text: str
    ) -> None:
        try:
            await channel.send(self.words(text), within=WITHIN_S)
        except PermanentError:
            assert list(await self.taken()) == []
        else:
            assert list(await self.taken()) == [self.to]

    async def test_it_says_whom_it_reaches(self, channel: Channel) -> None:
        if channel.recipients is not None:
            assert channel.reaches == "phone"
        if channel.reaches == "phone":
            assert self.to.startswith("+")

    async def test_a_refusal_for_now_can_be_tried_again(self, channel: Channel) -> None:
        await self.refuse_for_now()
        await self._fails(channel, TemporaryError)
        assert list(await self.taken()) == []
        await self.recover()
        await channel.send(self.envelope(), within=WITHIN_S)
        assert list(await self.taken()) == [self.to]

    async def test_a_refusal_for_good_is_final(self, channel: Channel) -> None:
        await self.refuse_for_good()
        await self._fails(channel, PermanentError)
        assert list(await self.taken()) == []

    async def test_a_lost_answer_is_told_from_a_refusal(self, channel: Channel) -> None:
        await self.lose_answers()
        await self._fails(channel, AnswerLostError)
        assert len(await self.taken()) <= 1

    async def test_a_provider_that_cannot_be_reached_has_taken_nothing(
        self, channel: Channel
    ) -> None:
        await self.vanish()
        await self._fails(channel, TemporaryError)

    async def test_a_silent_provider_costs_no_more_than_the_deadline(
        self, channel: Channel
    ) -> None:
        """It may say that the answer was lost if that is so, or if sending again clears it up."""
        await self.hang()
        began = time.monotonic()
        unknown = channel.keyed or self.taken_when_sent
        kinds = (TemporaryError, AnswerLostError) if unknown else (TemporaryError,)
        await self._fails(channel, *kinds, within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S
        assert list(await self.taken()) == []

    async def test_a_send_that_was_cancelled_leaves_the_channel_working(
        self, channel: Channel
    ) -> None:
        await self.hang()
        sending = asyncio.create_task(channel.send(self.envelope(), within=WITHIN_S))
        await asyncio.sleep(TIGHT_S / 2)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        await self.recover()
        await channel.send(self.envelope("c2|tracking"), within=WITHIN_S)
        assert list(await self.taken()) == [self.to]

    async def test_ping_says_in_words_what_was_reached_and_sends_nothing(
        self, channel: Channel
    ) -> None:
        assert len((await channel.ping()).split()) > 1
        assert list(await self.taken()) == []

    async def test_it_can_be_closed_twice(self, channel: Channel) -> None:
        await channel.aclose()
        await channel.aclose()

    async def _fails(
        self, channel: Channel, *kinds: type[BrokerError], within: float = WITHIN_S
    ) -> None:
        """Sending raises one of these kinds of error, and its text gives nobody away."""
        with pytest.raises(BrokerError) as caught:
            await channel.send(self.envelope(), within=within)
        assert isinstance(caught.value, kinds)
        told = "".join(_whole_text(caught.value))
        assert not [secret for secret in (*CANARIES, self.to) if secret in told]


class KeyedChannelKit(ChannelKit):
    """For channels whose provider takes our reference as an idempotency key."""

    async def test_it_declares_its_key(self, channel: Channel) -> None:
        assert channel.keyed

    async def test_the_same_reference_twice_is_one_message(self, channel: Channel) -> None:
        first = await channel.send(self.envelope(), within=WITHIN_S)
        again = await channel.send(self.envelope(), within=WITHIN_S)
        assert again == first
        assert list(await self.taken()) == [self.to]

    async def test_the_same_reference_at_the_same_time_is_one_message(
        self, channel: Channel
    ) -> None:
        sends = (channel.send(self.envelope(), within=WITHIN_S) for _ in range(5))
        assert len(set(await asyncio.gather(*sends))) == 1
        assert list(await self.taken()) == [self.to]

    async def test_another_purpose_of_the_same_call_is_another_message(
        self, channel: Channel
    ) -> None:
        for reference in ("c1|tracking", "c1|deflection"):
            await channel.send(self.envelope(reference), within=WITHIN_S)
        assert list(await self.taken()) == [self.to] * 2

    async def test_sending_again_after_a_lost_answer_makes_one_message(
        self, channel: Channel
    ) -> None:
        await self.lose_answers()
        await self._fails(channel, AnswerLostError)
        await self.recover()
        await channel.send(self.envelope(), within=WITHIN_S)
        assert list(await self.taken()) == [self.to]


def _whole_text(error: BaseException | None) -> Iterator[str]:
    """What a log that shows causes would show."""
    while error is not None:
        yield f"{error} {error.args}"
        error = error.__cause__
