"""What a thread reads messages with: a parser and a compiled schema, and how it forgets what libxml2 keeps.

Both keep the errors of their last document in themselves, and a parser keeps the dictionary of the thread that used it
first, which libxml2 does not guard against a second thread: so each thread has its own.

That dictionary holds every name, namespace and short blank text that was ever parsed, also of what was refused, and
gives nothing back while its thread lives (measured with lxml 6.1: 82 MiB after 2,000 messages of 40 KB). What it will
take from a message cannot be told before parsing, so bytes are counted: after so many the thread begins a new one.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Final

from lxml import etree

RENEW_BYTES: Final = 1 << 20
"""The worst bytes, many short names, take ten times their room: 10 MiB at most a thread. Honest ones come to it once
in some 2,500 calls, and a new parser costs 30 µs."""

_DICTIONARY: Final = "_ParserDictionaryContext"
"""Where lxml keeps it in the interpreter's own dictionary of the thread (its parser.pxi)."""

# A borrowed reference, so not as an object: ctypes would give it back.
_thread_state = ctypes.pythonapi.PyThreadState_GetDict
_thread_state.restype = ctypes.c_void_p


class Tools(threading.local):
    """Every thread that asks for an attribute has its own."""

    parser: etree.XMLParser
    schema: etree.XMLSchema

    def __init__(self, schema: bytes) -> None:
        self.schema = etree.XMLSchema(etree.fromstring(schema))
        self.parser = make_parser()
        self._bytes = 0

    def count(self, size: int) -> None:
        """Tell of so many bytes that are about to be parsed. No tree of an earlier message may be in use."""
        self._bytes += size
        if self._bytes > RENEW_BYTES:
            self._bytes = size
            state: dict[str, Any] = ctypes.cast(_thread_state(), ctypes.py_object).value
            state.pop(_DICTIONARY, None)
            # The old parser would bring the old dictionary with it.
            self.parser = make_parser()


def make_parser() -> etree.XMLParser:
    """A parser for UTF-8, whatever the declaration says, that resolves nothing."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        strip_cdata=True,
        # An xml:id is nothing to us, and need not be an NCName.
        collect_ids=False,
    )
