"""Outbound HTTP: JSON over one injected aiohttp session, with status -> error in one place."""

from broker.http_client.addresses import Addresses
from broker.http_client.auth import FixedHeaders, OAuthToken
from broker.http_client.breaker import BreakerLimits
from broker.http_client.client import (
    Authorizer,
    ForbiddenAddressError,
    JsonClient,
    Reply,
    ReplyLostError,
    UnusableAnswerError,
)
from broker.http_client.dependency import Dependency, NotAskedError
from broker.http_client.paths import path_of
from broker.http_client.repeat import once_more
from broker.http_client.session import open_session

__all__ = [
    "Addresses",
    "Authorizer",
    "BreakerLimits",
    "Dependency",
    "FixedHeaders",
    "ForbiddenAddressError",
    "JsonClient",
    "NotAskedError",
    "OAuthToken",
    "Reply",
    "ReplyLostError",
    "UnusableAnswerError",
    "once_more",
    "open_session",
    "path_of",
]
