"""A deflection's link and its handle, from the SMS to the agent, over real HTTP."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, outbox, said
from tests.integration.service.test_sms import MOBILE, babelforce, calls

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15"
LINKS = {
    "telegram": {"kind": "telegram", "bot": "shop_bot"},
    "apple": {"kind": "apple", "business_id": "22222222-dddd-4444-bbbb-777777777777"},
    "faq": {"kind": "faq", "url": "https://shop.example/help"},
    "over": {"kind": "telegram", "bot": "old_bot", "valid_until": date(2020, 1, 1)},
}
CONTEXT = {
    "fields": ["customer_id", "email", "premium"],
    "user": {"idioma": "language"},
    "ticket": {"area": "branch"},
}


def leading(sandbox: Sandbox, tmp_path: Path, *links: str, **more: Any) -> dict[str, Any]:
    """A broker whose messages lead to these targets."""
    texts = {"en": "Go on here: {link}"}
    templates = {"deflection": {"texts": texts, "links": links}}
    changed = deflecting(sandbox, tmp_path, templates=templates | more)
    return {**changed, "links": LINKS}


async def deflected(service: Service, **wish: Any) -> str:
    """The handle of a deflection that was sent to the customer with the mobile number."""
    call_id = await calls(service, MOBILE)
    answer = await said(service, f"/v1/calls/{call_id}/deflect?wait_ms=5000", wish)
    assert answer["state"] == "sent"
    message = (await outbox(service, MOBILE))[-1]
    found = re.search(r"/d/([A-Za-z0-9_-]{24})\b", message["text"])
    assert found is not None
    return found[1]


async def opens(
    service: Service, handle: str, method: str = "GET", **headers: str
) -> tuple[aiohttp.ClientResponse, str]:
    """What the link answers, and its page."""
    url = f"{service.url}/d/{handle}"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with service.http.request(method, url, headers=sent, allow_redirects=False) as answer:
        return answer, await answer.text()


async def test_a_link_with_one_target_leads_there_as_often_as_it_is_opened(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **leading(sandbox, tmp_path, "telegram")) as service:
        handle = await deflected(service)
        for method in ("HEAD", "GET", "GET"):
            answer, _ = await opens(service, handle, method)
            assert answer.status == 302
            assert answer.headers["Location"] == f"https://t.me/shop_bot?start={handle}"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"


async def test_a_link_with_several_targets_lets_the_person_choose_in_his_language(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = leading(sandbox, tmp_path, "telegram", "apple", "faq")
    async with served(sandbox, **changed) as service:
        handle = await deflected(service)
        answer, page = await opens(service, handle, User_Agent=IPHONE, Accept_Language="es")
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert '<html lang="de">' in page, "the customer's language, not the browser's"
        labels = re.findall(r"<a [^>]*>([^<]*)</a>", page)
        assert labels == ["Apple Messages", "Telegram", "Häufige Fragen"]
        for personal in (MOBILE, MOBILE[1:], "seven@example.com", "TRK-STANDARD-007"):
            assert personal not in page
        _, elsewhere = await opens(service, handle, User_Agent="curl/8")
        assert "Apple" not in elsewhere


async def test_a_template_leads_only_where_it_says(sandbox: Sandbox, tmp_path: Path) -> None:
    help_only = {"texts": {"en": "Help: {link}"}, "links": ["faq"]}
    changed = leading(sandbox, tmp_path, "telegram", "faq", help=help_only)
    async with served(sandbox, **changed) as service:
        answer, _ = await opens(service, await deflected(service, template="help"))
        assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example/help")


async def test_without_targets_the_page_asks_for_an_answer_to_the_message(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **leading(sandbox, tmp_path, "over")) as service:
        answer, page = await opens(service, await deflected(service))
        assert answer.status == 200
        assert "Bitte antworten Sie auf die Nachricht" in page


@pytest.mark.parametrize("handle", ["A" * 24, "short", "A" * 64, "a%20b"])
async def test_an_unknown_link_is_the_same_page_as_an_unknown_tracking_link(
    sandbox: Sandbox, tmp_path: Path, handle: str
) -> None:
    async with served(sandbox, **leading(sandbox, tmp_path, "telegram")) as service:
        answer, page = await opens(service, handle)
        async with service.http.get(f"{service.url}/t/{'A' * 43}") as tracking:
            assert (answer.status, page) == (tracking.status, await tracking.text()) == (404, page)
            ours = {k: v for k, v in answer.headers.items() if k != "Date"}
            assert ours == {k: v for k, v in tracking.headers.items() if k != "Date"}


async def test_the_agents_system_learns_what_the_operator_allows_and_no_more(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    keys = {"desk": {"key": "d" * 16, "scopes": ["read"]}, "ivr": {"key": "i" * 16}}
    changed = deflecting(sandbox, tmp_path, context=CONTEXT)
    async with served(sandbox, **changed, server={"clients": keys}) as service:
        service.http.headers["X-Api-Key"] = "i" * 16
        sent = {"user": {"plan": "gold"}, "reason": "invoice", "order": 12}
        handle = await deflected(service, branch="billing", context=sent)
        service.http.headers["X-Api-Key"] = "d" * 16
        async with service.http.get(f"{service.url}/v1/context/{handle}") as answer:
            told = await answer.json()
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "no-store"
        assert told["customer"] == {
            "customer_id": "7",
            "email": "seven@example.com",
            "premium": False,
        }
        assert told["user"] == {"plan": "gold", "idioma": "de"}
        assert told["ticket"] == {"area": "billing"}
        assert told["data"] == {"team": "billing", "reason": "invoice", "order": "12"}
        assert told["state"] == "sent"
        assert told["channel"] == "sms"
        assert told["cut"] == told["identities"] == []
        assert told["crm_ticket"] is None
        assert told["expires_at"] > told["call"]["received_at"]
        about = {key: told["call"][key] for key in ("branch", "reason", "lookup", "known_by")}
        assert about == {
            "branch": "billing",
            "reason": "invoice",
            "lookup": "found",
            "known_by": "number",
        }
        service.http.headers["X-Api-Key"] = "x" * 16
        assert (await service.get(f"/v1/context/{handle}"))[0] == 401


async def test_a_handle_that_stands_for_nothing_is_refused_alike_whatever_it_looks_like(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with served(sandbox, **deflecting(sandbox, tmp_path)) as service:
        handle = await deflected(service)
        answers = [
            await service.get(f"/v1/context/{asked}") for asked in ("A" * 24, "A", handle[:-1])
        ]
        await service.post("/v1/erasures", {"number": MOBILE})
        answers.append(await service.get(f"/v1/context/{handle}"))
        assert {status for status, _ in answers} == {404}
        assert [body for _, body in answers] == [answers[0][1]] * 4
        assert answers[0][1]["code"] == "unknown_context"
        assert (await opens(service, handle))[0].status == 404, "an erased person's link is gone"


async def test_the_context_seeds_the_conversation_on_babelforce(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = deflecting(sandbox, tmp_path, channels=["sms"], context=CONTEXT)
    changed["channels"] = {"sms": babelforce(sandbox)}
    async with served(sandbox, **changed) as service:
        handle = await deflected(service, context={"ticket": {"prio": "high"}})
        (message,) = await outbox(service, MOBILE)
        session = message["session"]
        assert session["ivr.handle"] == handle
        assert session["ivr.user.idioma"] == "de"
        assert session["ivr.ticket.prio"] == "high"
        assert "seven@example.com" not in str(session)
