"""Outbound HTTP: JSON over one injected aiohttp session, with status -> error in one place."""

from broker.http_client.auth import FixedHeaders, OAuthToken
from broker.http_client.client import Authorizer, JsonClient, Reply, ReplyLostError
from broker.http_client.paths import path_of
from broker.http_client.repeat import once_more
from broker.http_client.session import open_session

__all__ = [
    "Authorizer",
    "FixedHeaders",
    "JsonClient",
    "OAuthToken",
    "Reply",
    "ReplyLostError",
    "once_more",
    "open_session",
    "path_of",
]
