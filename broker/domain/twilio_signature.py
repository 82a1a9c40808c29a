"""Whether a request comes from Twilio: its X-Twilio-Signature, for callbacks and voice alike."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

from broker.domain.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Fields = Sequence[tuple[str, str]]

HEADER = "x-twilio-signature"
_FORM = "application/x-www-form-urlencoded"
_PORTS = {"https": 443, "http": 80}


def twilio_signature(token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """What Twilio signs a request with: https://www.twilio.com/docs/usage/webhooks/webhooks-security.

    HMAC-SHA1, in base64, of the address and every field of the form, sorted by name and value;
    a field that came twice with the same value counts once, as in Twilio's own libraries.
    """
    signed = url + "".join(f"{name}{value}" for name, value in sorted(set(fields)))
    digest = hmac.digest(token.encode(), signed.encode(errors="surrogatepass"), "sha1")
    return b64encode(digest).decode()


def signed_form(
    tokens: Iterable[str], url: str, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """The form in a request that Twilio has signed; empty if its body is something else.

    `url` is the whole address that Twilio called, `headers` have names in small letters. Of a body
    that is no form Twilio signs the hash, which is in the address then (`bodySHA256`).
    SignatureError: it is not signed with any of `tokens`, several of which are good while they are
    being changed.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    if kind != _FORM:
        _check_hash(url, body)
        fields = []
    given = headers.get(HEADER, "").encode(errors="replace")
    known = (
        twilio_signature(token, spelled, fields).encode()
        for token in tokens
        for spelled in _spellings(url)
    )
    if not any(hmac.compare_digest(given, signature) for signature in known):
        raise SignatureError("the request is not signed by Twilio")
    return dict(fields)


def _check_hash(url: str, body: bytes) -> None:
    hashes = parse_qs(_split(url).query).get("bodySHA256", [])
    if body and sha256(body).hexdigest() not in hashes:
        raise SignatureError("the body is not the one that was signed")


def _spellings(url: str) -> Iterator[str]:
    """`url`, and the same with or without its port: Twilio signs now the one, now the other."""
    parts = _split(url)
    yield url
    bare, bracket, port = parts.netloc.rpartition(":")
    if bracket and port.isdigit():
        yield parts._replace(netloc=bare).geturl()
    elif parts.scheme in _PORTS:
        yield parts._replace(netloc=f"{parts.netloc}:{_PORTS[parts.scheme]}").geturl()


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise SignatureError("the address is none that Twilio calls") from None
