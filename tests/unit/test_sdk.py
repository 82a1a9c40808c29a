"""What plug-in authors may import, and may go on importing."""

from __future__ import annotations

from broker import sdk

PROMISED = {
    *("CrmAdapter", "CallPlatform", "Channel", "Options"),
    *("CallRef", "Customer", "Envelope", "Phone", "PremiumRule", "Reference", "Session"),
    *("Variable", "fold_to_keypad", "path_of", "time_left"),
    *("AnswerLostError", "BadInputError", "CallEndedError", "ConfigError", "PermanentError"),
    *("SessionNotFoundError", "TemporaryError"),
    *("Authorizer", "FixedHeaders", "JsonClient", "OAuthToken", "Reply", "ReplyLostError"),
    *("NotAskedError", "UnusableAnswerError", "once_more"),
    *("HttpCrmAdapter", "HttpCrmOptions", "Auth", "TokenHeader", "TokenPlace", "FixedGrant"),
    *("Fields", "Place", "Places", "Pattern", "Region", "Reading", "Get", "authorizer"),
    *("CallNote", "Figures", "Ticket", "TicketRef", "UnauthorizedError", "has_number", "spelled"),
    *(
        "list_at",
        "one_at",
        "text_of",
        "texts_of",
        "soql_text",
        "sosl_term",
        "odata_text",
        "plain_text",
    ),
}


def test_the_sdk_offers_what_it_promises_and_nothing_by_accident() -> None:
    assert set(sdk.__all__) >= PROMISED
    assert sdk.__all__ == sorted(set(sdk.__all__))
    public = {name for name in vars(sdk) if name[0].isalpha()}  # not _ours, not pytest's @names
    assert public == set(sdk.__all__)
