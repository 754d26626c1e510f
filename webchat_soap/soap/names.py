"""Which names a message holds that this process has not read before.

libxml2 keeps what a thread has ever parsed of certain strings in that thread's dictionary, and gives nothing back while
the thread lives: names of elements, attributes, instructions and entities, namespaces, and blank texts of 16 to 59
signs (xmlSAX2TextNode). Two million names took 82 MiB (measured with lxml 6.1). Honest clients use a few hundred. So
these strings are counted before they are parsed: a message with new ones beyond the count is read in a thread of its
own, whose dictionary goes with it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import lru_cache

from webchat_soap.domain.errors import InvalidRequest

MAX_NAMES = 4096
# Names of types that tools generate run to about 150.
MAX_NAME_BYTES = 300

_blanks = re.compile(rb">([ \t\r\n]{16,59})<").findall
_entities = re.compile(rb"&([^;<>&\s#]+)").findall
_PLAIN_REFERENCES = (b"&#", b"&amp;", b"&lt;", b"&gt;", b"&quot;", b"&apos;")
_namespaces = re.compile(rb"""xmlns[^\s=]*\s*=\s*("[^"]*"|'[^']*')""").findall
_elements = re.compile(rb"</?([^\s<>/]+)").findall
_attributes = re.compile(rb"\s([^\s<>=\"'/]+)\s*=").findall


def has_other_references(body: bytes) -> bool:
    """Whether an & stands for something else than a character or one of the five entities of XML itself."""
    return b"&" in body and body.count(b"&") > sum(map(body.count, _PLAIN_REFERENCES))


# A client always sends the same Envelope tag.
@lru_cache(maxsize=512)
def _strings_of_short(piece: bytes) -> list[bytes]:
    return _attributes(piece) + _namespaces(piece)


def _strings_in(piece: bytes) -> list[bytes]:
    return _strings_of_short(piece) if len(piece) <= 512 else _attributes(piece) + _namespaces(piece)


class KnownNames:
    """The names seen so far, at most `max_names`. May be used from many threads."""

    def __init__(self, *, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._known: set[bytes] = set()

    def take(self, body: bytes) -> bool:
        """Whether all names of this XML (UTF-8) are known, or could be taken in. InvalidRequest for an endless one.

        Looks at bytes, not at XML: what only looks like one counts as one.
        """
        known = self._known
        tagged = [piece for piece in body.split(b"<") if b"=" in piece]
        others: list[bytes] = []
        if has_other_references(body):
            others = _entities(body)
        if b"                " in body or b"\n" in body or b"\t" in body:
            others += _blanks(body)
        if known.issuperset(_elements(body)) and known.issuperset(others):
            for piece in tagged:
                if not known.issuperset(_strings_in(piece)):
                    break
            else:
                return True
        names = set(_elements(body)).union(others, *map(_strings_in, tagged))
        if max(map(len, names)) > MAX_NAME_BYTES:
            raise InvalidRequest(f"The XML has a name of more than {MAX_NAME_BYTES} bytes.", limit=MAX_NAME_BYTES)
        if len(self._known) + len(names) > self._max_names:
            return False
        # A race of two threads overshoots by one message's names at most.
        self._known = self._known | names
        return True


def run_apart(work: Callable[[], None]) -> None:
    """Run in a thread that ends with it, and raise here what it raised there."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            # What it holds of the thread's tree is to go with the thread.
            raised.append(error.with_traceback(None))

    thread = threading.Thread(target=run, name="read-apart")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
