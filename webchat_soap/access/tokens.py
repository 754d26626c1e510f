"""Random tokens, and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_TOKEN_BYTES = 32


def new_token() -> str:
    """256 random bits as 43 letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_id(token: str) -> str:
    """What is kept instead of the token: its SHA-256 in hex. A random token needs no slow hash: there is nothing to
    guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def csrf_token_of(token: str) -> str:
    """The CSRF token of the session's token: nothing to keep, and nothing to learn the other one from."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"webchat csrf", hashlib.sha256).hexdigest()


def turnstile_key(kind: str, value: str) -> str:
    """A turnstile's key that does not show the value: people type passwords into the field for the name."""
    return hashlib.sha256(f"{kind}\n{value}".encode("utf-8", "surrogatepass")).hexdigest()
