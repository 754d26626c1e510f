"""What the store says when it cannot, besides what domain.chat words for all: each sentence once, with what to do."""

from __future__ import annotations

from typing import Final

from webchat_soap.domain.chat import ClientToken
from webchat_soap.domain.errors import Busy, Conflict
from webchat_soap.domain.outages import Outage

RETRY_AFTER_SECONDS: Final = 2
"""Long enough for a lock held by another program to go, short enough that a person still waits."""


def busy(outage: Outage) -> Busy:
    busy = Busy(
        "The messages cannot be reached right now and nothing was stored; try again, with the same clientToken where "
        "there is one.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
    busy.outage = outage
    return busy


def unsure(outage: Outage) -> Busy:
    """The commit failed, but a restart may find it done: see GroupWriter."""
    busy = Busy(
        "The message may or may not be stored; try again with the same clientToken, which keeps it from being stored "
        "twice, or look with GetMessages before you send it again.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
    busy.outage = outage
    busy.surely_not_stored = False
    return busy


def busy_token() -> Busy:
    return Busy(
        "An earlier call with this clientToken is still running; try again with the same clientToken to get its "
        "receipt.",
        field="clientToken",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def stopping() -> Busy:
    return Busy(
        "The service is stopping; try again with the same clientToken when it is back.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def token_conflict(token: ClientToken) -> Conflict:
    return Conflict(
        f"The clientToken {token.token!r} was used before with another operation or other values; use a new "
        "clientToken for a new call, and the old one only to repeat the same call.",
        field="clientToken",
    )
