"""Users out of an answer: each with the organization and the identities that came along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.sdk import PermanentError, list_at, texts_of

if TYPE_CHECKING:
    from broker.sdk import Get

User = Mapping[str, Any]
"""As Zendesk has it, with `organization` and the numbers of his `identities` put into it."""


def users_of(body: object, *, with_organizations: bool) -> list[User]:
    """The users of an answer.

    PermanentError if one has an organization that did not come along: its tags may decide.
    """
    users = list_at(body, "users")
    numbers = _numbers(_beside(body, "identities"))
    organizations = {one.get("id"): one for one in _beside(body, "organizations")}
    return [
        {
            **user,
            "identities": numbers.get(user.get("id"), []),
            "organization": _organization(user, organizations) if with_organizations else None,
        }
        for user in users
    ]


def is_customer(user: User) -> bool:
    """Not an agent, and not deleted."""
    return user.get("role") == "end-user" and user.get("active") is not False


def get_of(user: User) -> Get:
    """The values of a user by their places; `tags` are also those of the organization."""

    def get(place: str) -> object:
        if place == "tags":
            organization = user.get("organization") or {}
            return [*texts_of(user.get("tags")), *texts_of(organization.get("tags"))]
        node: object = user
        for part in place.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node

    return get


def _beside(body: object, name: str) -> list[Any]:
    """What came along; it is left out where there is none."""
    there = isinstance(body, Mapping) and body.get(name) is not None
    return list_at(body, name) if there else []


def _numbers(identities: list[Any]) -> dict[object, list[object]]:
    """The telephone numbers, by user."""
    numbers: dict[object, list[object]] = {}
    for identity in identities:
        if identity.get("type") == "phone_number":
            numbers.setdefault(identity.get("user_id"), []).append(identity.get("value"))
    return numbers


def _organization(user: User, known: Mapping[object, Any]) -> object:
    identity = user.get("organization_id")
    if identity is not None and identity not in known:
        raise PermanentError("a user came without his organization")
    return known.get(identity)
