"""What a sandbox forgets, so that it can run for weeks."""

from __future__ import annotations

from broker.sandbox.state import KEPT, Call, Calls, Session


def test_the_oldest_call_is_forgotten_with_its_session() -> None:
    calls = Calls()
    placed = [Call(None, "+491713920000", Session()) for _ in range(KEPT + 1)]
    for call in placed:
        calls.add(call)
    assert len(list(calls)) == KEPT
    assert calls.get(placed[0].id) is None
    assert calls.session(placed[0].session.id) is None
    assert calls.session(placed[1].session.id) is placed[1].session


def test_standalone_sessions_do_not_pile_up() -> None:
    calls = Calls()
    sessions = [Session() for _ in range(2 * KEPT + 1)]
    for session in sessions:
        calls.add_session(session)
    assert calls.session(sessions[0].id) is None
    assert calls.session(sessions[1].id) is sessions[1]
