"""SOAP 1.1 and SOAP 1.2 as one class and all that differs between them."""

from __future__ import annotations

from dataclasses import dataclass, field

XML_SPACE = " \t\r\n"
"""White space as XML has it; Python's own has more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoapVersion:
    """What a message of one SOAP version looks like. Sources: the SOAP 1.1 note, SOAP 1.2 Part 1 (second edition)."""

    name: str
    namespace: str
    media_type: str
    sender: str
    """Local name of the fault code for the caller's mistakes."""
    receiver: str
    role_attribute: str
    own_roles: frozenset[str]
    """Values of the role attribute that mean us; an absent one does too."""
    true_values: frozenset[str]
    """Spellings of a true mustUnderstand."""
    false_values: frozenset[str]
    open_envelope: str = field(init=False)
    close_envelope: str = field(init=False)
    header_tag: str = field(init=False)
    body_tag: str = field(init=False)
    fault_tag: str = field(init=False)

    def __post_init__(self) -> None:
        opening = f'<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="{self.namespace}">'
        object.__setattr__(self, "open_envelope", opening)
        object.__setattr__(self, "close_envelope", "</soap:Envelope>")
        for name in ("Header", "Body", "Fault"):
            object.__setattr__(self, f"{name.lower()}_tag", self.tag(name))

    def envelope(self, body: str, *, header_blocks: str = "") -> str:
        """A whole message around what is XML already."""
        header = f"<soap:Header>{header_blocks}</soap:Header>" if header_blocks else ""
        return f"{self.open_envelope}{header}<soap:Body>{body}</soap:Body>{self.close_envelope}"

    def tag(self, name: str) -> str:
        """The name in this version's envelope namespace, as lxml writes it."""
        return f"{{{self.namespace}}}{name}"


SOAP11 = SoapVersion(
    name="1.1",
    namespace="http://schemas.xmlsoap.org/soap/envelope/",
    media_type="text/xml; charset=utf-8",
    sender="Client",
    receiver="Server",
    role_attribute="actor",
    own_roles=frozenset({"", "http://schemas.xmlsoap.org/soap/actor/next"}),
    true_values=frozenset({"1"}),
    false_values=frozenset({"0"}),
)

SOAP12 = SoapVersion(
    name="1.2",
    namespace="http://www.w3.org/2003/05/soap-envelope",
    media_type="application/soap+xml; charset=utf-8",
    sender="Sender",
    receiver="Receiver",
    role_attribute="role",
    own_roles=frozenset(
        {
            "",
            "http://www.w3.org/2003/05/soap-envelope/role/next",
            "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
        }
    ),
    true_values=frozenset({"1", "true"}),
    false_values=frozenset({"0", "false"}),
)

VERSIONS = {version.namespace: version for version in (SOAP11, SOAP12)}
