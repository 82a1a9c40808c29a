"""Outbound HTTP: JSON over one injected aiohttp session, with status -> error in one place."""

from broker.http_client.addresses import Addresses
from broker.http_client.auth import FixedHeaders, OAuthToken, TokenHeader
from broker.http_client.breaker import BreakerLimits
from broker.http_client.client import (
    Authorizer,
    ForbiddenAddressError,
    JsonClient,
    Reply,
    ReplyLostError,
    UnauthorizedError,
    UnusableAnswerError,
)
from broker.http_client.credentials import (
    Auth,
    BasicAuth,
    BearerAuth,
    JwtBearerAuth,
    TokenPlace,
    authorizer,
    basic_auth,
)
from broker.http_client.crm import (
    HttpCrmAdapter,
    HttpCrmOptions,
    Reading,
    at_once,
    list_at,
    one_at,
)
from broker.http_client.dependency import Dependency, NotAskedError
from broker.http_client.escaping import odata_text, plain_text, soql_text, sosl_term
from broker.http_client.grants import FixedGrant
from broker.http_client.hand_over import handed_over
from broker.http_client.paths import path_of
from broker.http_client.rate import LocalRate, SharedRate, burst
from broker.http_client.repeat import once_more
from broker.http_client.session import open_session

__all__ = [
    "Addresses",
    "Auth",
    "Authorizer",
    "BasicAuth",
    "BearerAuth",
    "BreakerLimits",
    "Dependency",
    "FixedGrant",
    "FixedHeaders",
    "ForbiddenAddressError",
    "HttpCrmAdapter",
    "HttpCrmOptions",
    "JsonClient",
    "JwtBearerAuth",
    "LocalRate",
    "NotAskedError",
    "OAuthToken",
    "Reading",
    "Reply",
    "ReplyLostError",
    "SharedRate",
    "TokenHeader",
    "TokenPlace",
    "UnauthorizedError",
    "UnusableAnswerError",
    "at_once",
    "authorizer",
    "basic_auth",
    "burst",
    "handed_over",
    "list_at",
    "odata_text",
    "once_more",
    "one_at",
    "open_session",
    "path_of",
    "plain_text",
    "soql_text",
    "sosl_term",
]
