"""The WSDL breaks no client of the last release, and the comparer that says so sees what would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.wsdl_compatibility import incompatible_changes
from webchat_soap.app import wsdl_document

RELEASED = Path(__file__).parents[2] / "wsdl" / "released"


def test_clients_of_the_last_release_go_on_working() -> None:
    """An answer to a failure: take the change back, or make version 2 (wsdl/README.md)."""
    (last,) = RELEASED.glob("*.wsdl")
    assert re.fullmatch(r"1\.\d+\.wsdl", last.name)
    assert incompatible_changes(last.read_bytes(), wsdl_document("https://chat.example.com")) == []


@pytest.fixture(scope="module")
def wsdl() -> str:
    return wsdl_document("http://127.0.0.1:8000").decode()


def swap(before: str, after: str, *, everywhere: bool = False) -> Callable[[str], str]:
    def change(wsdl: str) -> str:
        assert before in wsdl
        return wsdl.replace(before, after, -1 if everywhere else 1)

    return change


def cut(pattern: str) -> Callable[[str], str]:
    def change(wsdl: str) -> str:
        changed, count = re.subn(pattern, "", wsdl, flags=re.DOTALL)
        assert count
        return changed

    return change


def within(opening: str, change: Callable[[str], str], *, closing: str = "</xs:sequence>") -> Callable[[str], str]:
    """The change made in the first piece from `opening` to `closing` alone."""

    def changed(wsdl: str) -> str:
        start = wsdl.index(opening)
        end = wsdl.index(closing, start) + len(closing)
        return wsdl[:start] + change(wsdl[start:end]) + wsdl[end:]

    return changed


def exchange(one: str, other: str) -> Callable[[str], str]:
    """Two elements of a piece change places."""

    def changed(piece: str) -> str:
        found = [re.search(rf'<xs:element name="{name}".*?</xs:element>', piece, re.DOTALL) for name in (one, other)]
        texts = [each.group() for each in found if each is not None]
        assert len(texts) == 2
        return piece.replace(texts[0], "\0").replace(texts[1], texts[0]).replace("\0", texts[1])

    return changed


START_CHAT = '<xs:element name="StartChat">'
UPLOAD_FILE = '<xs:element name="UploadFile">'
PAGE = '<xs:complexType name="MessagePage">'
LIMITS = '<xs:complexType name="Limits">'
FAULT = '<xs:complexType name="WebchatFault">'
OPTIONAL = '<xs:element name="extra" type="xs:string" minOccurs="0"/>'

BREAKING = {
    "an operation removed": (
        cut(r'<wsdl:operation name="EndChat">.*?</wsdl:operation>'),
        "operation EndChat was removed",
    ),
    "an operation renamed": (
        swap('<wsdl:operation name="EndChat">', '<wsdl:operation name="CloseChat">', everywhere=True),
        "operation EndChat was removed",
    ),
    "a parameter removed": (
        within(START_CHAT, cut(r'<xs:element name="customerName".*?</xs:element>')),
        "parameter customerName of StartChat was removed",
    ),
    "a parameter renamed": (
        within(START_CHAT, swap('"customerName"', '"name"')),
        "parameter customerName of StartChat was removed",
    ),
    "parameters reordered": (
        within(START_CHAT, exchange("CHATID", "customerName")),
        "the parameters of StartChat stand in another order",
    ),
    "a parameter retyped": (
        within('<xs:element name="GetMessages">', swap("xs:long", "xs:int")),
        "parameter afterSequence of GetMessages: type changed from long to int",
    ),
    "a parameter made required": (
        within(START_CHAT, swap('"customerName" type="xs:string" minOccurs="0"', '"customerName" type="xs:string"')),
        "parameter customerName of StartChat is required now",
    ),
    "a parameter made a list": (
        within(START_CHAT, swap('minOccurs="0"', 'minOccurs="0" maxOccurs="unbounded"')),
        "parameter CHATID of StartChat: maxOccurs changed from 1 to unbounded",
    ),
    "a parameter made nillable": (
        within(START_CHAT, swap('minOccurs="0"', 'minOccurs="0" nillable="true"')),
        "parameter CHATID of StartChat changed",
    ),
    "a new required parameter": (
        within(UPLOAD_FILE, swap("</xs:sequence>", '<xs:element name="extra" type="xs:string"/></xs:sequence>')),
        "parameter extra of UploadFile is new and required",
    ),
    "a new optional parameter in the middle": (
        within(UPLOAD_FILE, swap('<xs:element name="fileDetails"', f'{OPTIONAL}<xs:element name="fileDetails"')),
        "parameter extra of UploadFile is new and does not stand at the end",
    ),
    "a new element in an answer": (
        within(PAGE, swap("</xs:sequence>", f"{OPTIONAL}</xs:sequence>")),
        "element extra of MessagePage is new",
    ),
    "a new element deep in an answer": (
        within('<xs:complexType name="StoredFile">', swap("</xs:sequence>", f"{OPTIONAL}</xs:sequence>")),
        "element extra of StoredFile is new",
    ),
    "a new element in the fault": (
        within(FAULT, swap("</xs:sequence>", f"{OPTIONAL}</xs:sequence>")),
        "element extra of WebchatFault is new",
    ),
    "an element of an answer removed": (
        within(PAGE, cut(r'<xs:element name="hasMore".*?</xs:element>')),
        "element hasMore of MessagePage was removed",
    ),
    "an element of an answer retyped": (
        within(LIMITS, swap('name="maxTextLength" type="xs:int"', 'name="maxTextLength" type="xs:long"')),
        "element maxTextLength of Limits: type changed from int to long",
    ),
    "elements of an answer reordered": (
        within(PAGE, exchange("status", "lastSequence")),
        "the elements of MessagePage stand in another order",
    ),
    "an element of an answer made optional": (
        within(PAGE, swap('name="hasMore" type="xs:boolean"', 'name="hasMore" type="xs:boolean" minOccurs="0"')),
        "element hasMore of MessagePage: minOccurs changed from 1 to 0",
    ),
    "an optional element of an answer made required": (
        within(LIMITS, swap('name="filesUsed" type="xs:int" minOccurs="0"', 'name="filesUsed" type="xs:int"')),
        "element filesUsed of Limits: minOccurs changed from 0 to 1",
    ),
    "a list in an answer bounded": (
        within(PAGE, swap('maxOccurs="unbounded"', 'maxOccurs="100"')),
        "element message of MessagePage: maxOccurs changed from unbounded to 100",
    ),
    "a wildcard in an answer": (
        within(PAGE, swap("</xs:sequence>", '<xs:any minOccurs="0"/></xs:sequence>')),
        "MessagePage: content beside its elements changed",
    ),
    "an attribute in an answer": (
        within(PAGE, swap("</xs:sequence>", '</xs:sequence><xs:attribute name="extra" type="xs:string"/>')),
        "MessagePage: content beside its elements changed",
    ),
    "a new enumeration value": (
        swap('<xs:enumeration value="ENDED">', '<xs:enumeration value="PAUSED"/><xs:enumeration value="ENDED">'),
        "value PAUSED of ChatStatus is new",
    ),
    "an enumeration value removed": (
        cut(r'<xs:enumeration value="SYSTEM">.*?</xs:enumeration>'),
        "value SYSTEM of Sender was removed",
    ),
    "an enumeration of another base": (
        within('<xs:simpleType name="Sender">', swap("xs:string", "xs:NMTOKEN"), closing="</xs:simpleType>"),
        "type Sender: base or facets changed",
    ),
    "a string made an enumeration": (
        within(FAULT, swap('name="code" type="xs:string"', 'name="code" type="tns:Sender"')),
        "element code of WebchatFault: type changed from string to Sender",
    ),
    "a type renamed": (
        lambda wsdl: wsdl.replace('name="Limits"', 'name="AllLimits"').replace("tns:Limits", "tns:AllLimits"),
        "element GetLimitsResult of GetLimitsResponse: type changed from Limits to AllLimits",
    ),
    "the service renamed": (
        swap('<wsdl:service name="Webchat"', '<wsdl:service name="Chat"'),
        "service Webchat was removed",
    ),
    "a port renamed": (
        swap('name="WebchatSoap11"', 'name="WebchatPort"'),
        "port of service Webchat WebchatSoap11 was removed",
    ),
    "a port removed": (
        cut(r'<wsdl:port name="WebchatSoap12".*?</wsdl:port>'),
        "port of service Webchat WebchatSoap12 was removed",
    ),
    "a binding renamed": (
        swap("WebchatSoap11Binding", "WebchatBinding", everywhere=True),
        "binding WebchatSoap11Binding was removed",
    ),
    "the portType renamed": (
        swap("WebchatPortType", "WebchatType", everywhere=True),
        "portType WebchatPortType was removed",
    ),
    "a message renamed": (
        lambda wsdl: wsdl.replace('message name="EndChat"', 'message name="EndChatIn"').replace(
            'message="tns:EndChat"', 'message="tns:EndChatIn"'
        ),
        "message EndChat was removed",
    ),
    "a part renamed": (
        swap('name="parameters" element="tns:EndChat"', 'name="body" element="tns:EndChat"'),
        "message EndChat: parts changed",
    ),
    "the fault's message renamed": (
        swap("WebchatException", "WebchatTrouble", everywhere=True),
        "message WebchatException was removed",
    ),
    "a fault taken away": (
        within(
            '<wsdl:operation name="EndChat">',
            swap('<wsdl:fault name="WebchatFault" message="tns:WebchatException"/>', ""),
            closing="</wsdl:operation>",
        ),
        "operation EndChat: messages changed",
    ),
    "a soapAction changed": (
        swap('soapAction="EndChat"', 'soapAction="urn:webchat:v1/EndChat"'),
        "operation EndChat of binding WebchatSoap11Binding: soapAction or style changed",
    ),
    "the transport changed": (
        swap("http://schemas.xmlsoap.org/soap/http", "http://schemas.xmlsoap.org/soap/smtp"),
        "binding WebchatSoap11Binding: protocol changed",
    ),
    "the namespace changed": (
        swap("urn:webchat:v1", "urn:webchat:v2", everywhere=True),
        "the namespace changed from urn:webchat:v1 to urn:webchat:v2",
    ),
    "elements unqualified": (
        swap("qualified", "unqualified"),
        "elementFormDefault changed from qualified to unqualified",
    ),
}


@pytest.mark.parametrize("case", BREAKING)
def test_what_breaks_clients_is_seen(wsdl: str, case: str) -> None:
    change, sentence = BREAKING[case]
    found = incompatible_changes(wsdl.encode(), change(wsdl).encode())
    assert any(each.startswith(sentence) for each in found), found


def new_operation(wsdl: str) -> str:
    """A whole operation more, made as a copy of EndChat under another name."""
    for pattern in (
        r'<xs:element name="EndChat">.*?</xs:element>\s*</xs:sequence>\s*</xs:complexType>\s*</xs:element>',
        r'<xs:element name="EndChatResponse">.*?</xs:element>\s*</xs:sequence>\s*</xs:complexType>\s*</xs:element>',
        r'<wsdl:message name="EndChat">.*?</wsdl:message>',
        r'<wsdl:message name="EndChatResponse">.*?</wsdl:message>',
        r'<wsdl:operation name="EndChat">.*?</wsdl:operation>',
    ):
        assert re.search(pattern, wsdl, re.DOTALL)
        wsdl = re.sub(
            pattern, lambda found: found.group() + found.group().replace("EndChat", "MuteChat"), wsdl, flags=re.DOTALL
        )
    return wsdl


REQUEST_ENUMERATION = (
    '<xs:simpleType name="Mood"><xs:restriction base="xs:string"><xs:enumeration value="GLAD"/></xs:restriction>'
    '</xs:simpleType><xs:complexType name="MessageReceipt">'
)

HARMLESS = {
    "nothing": lambda wsdl: wsdl,
    "another address": swap("http://127.0.0.1:8000", "https://chat.example.com/support", everywhere=True),
    "other documentation": lambda wsdl: re.sub(r"documentation>[^<]*<", "documentation>Something else.<", wsdl),
    "no documentation": cut(r"<(wsdl|xs):documentation>.*?</\1:documentation>"),
    "another prefix": lambda wsdl: wsdl.replace("tns:", "w:").replace("xmlns:tns=", "xmlns:w="),
    "a new optional parameter at the end": within(UPLOAD_FILE, swap("</xs:sequence>", f"{OPTIONAL}</xs:sequence>")),
    "a required parameter made optional": within(
        UPLOAD_FILE, swap('name="CHATID" type="xs:string"', 'name="CHATID" type="xs:string" minOccurs="0"')
    ),
    "a new operation": new_operation,
    "a new type that no answer has": swap('<xs:complexType name="MessageReceipt">', REQUEST_ENUMERATION),
    "minOccurs written out": within(PAGE, swap('name="hasMore"', 'minOccurs="1" maxOccurs="1" name="hasMore"')),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_breaks_nobody_is_let_through(wsdl: str, case: str) -> None:
    changed = HARMLESS[case](wsdl)
    assert case == "nothing" or changed != wsdl
    assert incompatible_changes(wsdl.encode(), changed.encode()) == []


def test_a_value_that_only_requests_have_may_be_added_but_not_removed(wsdl: str) -> None:
    moody = within(
        START_CHAT, swap("</xs:sequence>", '<xs:element name="mood" type="tns:Mood" minOccurs="0"/></xs:sequence>')
    )(swap('<xs:complexType name="MessageReceipt">', REQUEST_ENUMERATION)(wsdl))
    more = moody.replace('value="GLAD"/>', 'value="GLAD"/><xs:enumeration value="SAD"/>')
    assert incompatible_changes(wsdl.encode(), moody.encode()) == []
    assert incompatible_changes(moody.encode(), more.encode()) == []
    assert incompatible_changes(more.encode(), moody.encode()) == ["value SAD of Mood was removed"]
