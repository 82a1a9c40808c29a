"""Everything a plug-in author imports: contracts, values, errors and the outbound client."""

from broker.domain.call import CallRef, Phone, Reference, fold_to_keypad
from broker.domain.customer import Customer
from broker.domain.errors import (
    AnswerLostError,
    BadInputError,
    CallEndedError,
    ConfigError,
    PermanentError,
    SessionNotFoundError,
    TemporaryError,
)
from broker.domain.fields import Fields, Region, text_of
from broker.domain.premium import PremiumRule
from broker.domain.record import Session
from broker.http_client import (
    Authorizer,
    FixedHeaders,
    JsonClient,
    NotAskedError,
    OAuthToken,
    Reply,
    ReplyLostError,
    UnusableAnswerError,
    once_more,
    path_of,
)
from broker.ports import (
    CallPlatform,
    Channel,
    CrmAdapter,
    Envelope,
    Options,
    Variable,
    time_left,
)

__all__ = [
    "AnswerLostError",
    "Authorizer",
    "BadInputError",
    "CallEndedError",
    "CallPlatform",
    "CallRef",
    "Channel",
    "ConfigError",
    "CrmAdapter",
    "Customer",
    "Envelope",
    "Fields",
    "FixedHeaders",
    "JsonClient",
    "NotAskedError",
    "OAuthToken",
    "Options",
    "PermanentError",
    "Phone",
    "PremiumRule",
    "Reference",
    "Region",
    "Reply",
    "ReplyLostError",
    "Session",
    "SessionNotFoundError",
    "TemporaryError",
    "UnusableAnswerError",
    "Variable",
    "fold_to_keypad",
    "once_more",
    "path_of",
    "text_of",
    "time_left",
]
