"""WS-Addressing, as far as a service that answers on the same connection needs it.

WCF's wsHttpBinding and others send its header blocks, often to be understood. They are taken, and an answer to them
carries Action and, for a MessageID, RelatesTo. Where the answer is to go is not looked at: it goes back the way it came
(the anonymous address, which is what callers of a request-response binding say or mean).

Sources: Web Services Addressing 1.0 Core, SOAP Binding and Metadata (section 4.4.4: default actions); the member
submission of August 2004.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from webchat_soap.soap.operations import PORT_TYPE
from webchat_soap.soap.types import NAMESPACE, WebchatFault
from webchat_soap.soap.writers import escape_text

NAMESPACES = ("http://www.w3.org/2005/08/addressing", "http://schemas.xmlsoap.org/ws/2004/08/addressing")

_NAMES = ("Action", "To", "From", "ReplyTo", "FaultTo", "MessageID", "RelatesTo")
_TAGS = frozenset(f"{{{namespace}}}{name}" for namespace in NAMESPACES for name in _NAMES)

# A URI, mostly urn:uuid:...; what is longer is left unanswered rather than sent back.
MAX_MESSAGE_ID = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressing:
    """What a request's blocks ask of its answer."""

    namespace: str
    message_id: str | None

    def answer_blocks(self, action: str) -> str:
        """The header blocks of the answer, as XML."""
        blocks = f'<wsa:Action xmlns:wsa="{self.namespace}">{escape_text(action)}</wsa:Action>'
        if self.message_id is not None:
            relates_to = escape_text(self.message_id)
            blocks += f'<wsa:RelatesTo xmlns:wsa="{self.namespace}">{relates_to}</wsa:RelatesTo>'
        return blocks

    def fault_action(self, operation: str | None) -> str:
        """The action of a fault: of the operation's own, or of one that SOAP rules."""
        if operation is None:
            tail = "soap/fault" if self.namespace == NAMESPACES[0] else "fault"
            return f"{self.namespace}/{tail}"
        return f"{_action(operation)}:Fault:{WebchatFault.get_type_name()}"


def response_action(operation: str) -> str:
    """The action of an operation's answer."""
    return f"{_action(operation)}Response"


def is_understood(block: Any) -> bool:
    """Whether a header block is one of addressing's own."""
    return block.tag in _TAGS


def read_addressing(blocks: Iterable[Any]) -> Addressing | None:
    """What the Header's blocks for us say, None when addressing was not used."""
    namespace, message_id = None, None
    for block in blocks:
        if block.tag not in _TAGS:
            continue
        name = etree.QName(block)
        namespace = namespace or name.namespace
        if name.localname == "MessageID" and name.namespace == namespace:
            given = (block.text or "").strip()
            message_id = given if 0 < len(given) <= MAX_MESSAGE_ID else None
    return None if namespace is None else Addressing(namespace=namespace, message_id=message_id)


def _action(operation: str) -> str:
    # The delimiter is a colon where the target namespace is a URN.
    return f"{NAMESPACE}:{PORT_TYPE}:{operation}"
