"""HTTP's Content-Encoding for requests and answers, bounded: a request counts by what it unpacks to."""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache

CODINGS = ("gzip", "x-gzip", "deflate")

MIN_BYTES = 2048
"""Of an answer that is packed. Below it, packing costs more than a receipt is worth: 30 us against one packet."""

MAX_MEMBERS = 16

_LEVEL = 1  # XML of this kind shrinks to a fifth already


class TooLarge(Exception):
    """It unpacks to more than is allowed; no more than that was unpacked."""


class Broken(Exception):
    """It is not in the coding that was named, or cut short."""


def unpack(body: bytes, coding: str, *, max_bytes: int) -> bytes:
    """The plain bytes, at most `max_bytes`. TooLarge, Broken."""
    if coding == "deflate":
        # RFC 9110 section 8.4.1.2: zlib's format; some senders leave its two bytes of head away.
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        window = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
    else:
        window = zlib.MAX_WBITS | 16
    plain = b""
    members = 0
    while body or not members:
        unpacker = zlib.decompressobj(window)
        try:
            plain += unpacker.decompress(body, max_bytes + 1 - len(plain))
        except zlib.error:
            raise Broken from None
        if len(plain) > max_bytes:
            raise TooLarge
        body, members = unpacker.unused_data, members + 1
        # A gzip may be several, one behind the other (RFC 1952 section 2.2); more than a few are there to cost time.
        if not unpacker.eof or (body and (window < 16 or members >= MAX_MEMBERS)):
            raise Broken
    return plain


def pack(answer: bytes) -> bytes:
    """The answer as gzip, the same bytes for the same answer."""
    return gzip.compress(answer, _LEVEL, mtime=0)


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110 section 12.5.3) lets the answer be gzip."""
    if len(accept_encoding) > 1000:
        return False
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, value = parameters.partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
