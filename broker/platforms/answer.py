"""For platforms that read the HTTP answer: nothing is written out, the answer is the delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.sdk import CallPlatform, CallRef, Options, Session, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp


class AnswerPlatform(CallPlatform):
    """Twilio Studio, Amazon Connect, Genesys: whoever asked puts `session` of our answer to use."""

    options_type = Options
    writes_out = False

    def __init__(self, options: Options, http: aiohttp.ClientSession) -> None:
        """Needs neither."""

    async def find_session(self, call: CallRef, *, within: float) -> Session:  # noqa: ARG002 - nobody is asked
        """The session named by the automation; without one the call is its own session."""
        if call.session_id is not None:
            return Session(call.session_id, "given")
        return Session(call.call_id, "guessed")

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        """Done at once: the caller of the broker reads the variables from its answer."""

    async def ping(self) -> str:
        return "nothing to reach: the HTTP answer is the delivery"
