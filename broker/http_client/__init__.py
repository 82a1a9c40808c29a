"""Outbound HTTP: JSON over one injected aiohttp session, with status -> error in one place."""

from broker.http_client.client import Authorizer, JsonClient, Reply, ReplyLostError
from broker.http_client.paths import path_of
from broker.http_client.session import open_session

__all__ = [
    "Authorizer",
    "JsonClient",
    "Reply",
    "ReplyLostError",
    "open_session",
    "path_of",
]
