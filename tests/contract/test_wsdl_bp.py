"""The WSDL keeps WS-I Basic Profile 1.1, and every rule that says so would notice when it did not."""

from __future__ import annotations

from functools import cache

import pytest
from lxml import etree

from tests.contract.wsdl_bp_rules import NS, RULES, SOAP, Description
from webchat_soap.app import wsdl_document

SOAP12 = "http://schemas.xmlsoap.org/wsdl/soap12/"


def description(content: bytes) -> Description:
    return Description(content=content, root=etree.fromstring(content))


@cache
def half(version: str) -> bytes:
    """The document with the binding and the port of one version alone.

    The profile knows SOAP 1.1 only. Its rules mean the same for the other half (WS-I Basic Profile 2.0 has them for
    SOAP 1.2 word for word), so that half is read with the namespace of the first.
    """
    root = etree.fromstring(wsdl_document("http://127.0.0.1:8000"))
    other = {"SOAP 1.1": SOAP12, "SOAP 1.2": SOAP}[version]
    for node in root.xpath("/*/wsdl:binding | /*/wsdl:service/wsdl:port", namespaces=NS):
        if node.find(f"{{{other}}}*") is not None:
            node.getparent().remove(node)
    text = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return text.replace(SOAP12.encode() + b'"', SOAP.encode() + b'"')


@pytest.mark.parametrize("number", RULES)
@pytest.mark.parametrize("version", ["SOAP 1.1", "SOAP 1.2"])
def test_the_wsdl_keeps(version: str, number: str) -> None:
    content = half(version)
    assert content.count(b"<wsdl:binding ") == 1, "not one half"
    sentence, check = RULES[number]
    assert list(check(description(content))) == [], sentence


def with_duplicate(content: str, opening: str, closing: str) -> str:
    """The first piece from `opening` to `closing` stands twice."""
    start = content.index(opening)
    end = content.index(closing, start) + len(closing)
    return content[:end] + content[start:end] + content[end:]


TYPES = "<wsdl:types>"
PORT_TYPE = '<wsdl:portType name="WebchatPortType">'
FIRST_SCHEMA = '<xs:schema targetNamespace="urn:webchat:v1" elementFormDefault="qualified">'
FIRST_MESSAGE = '<wsdl:part name="parameters" element="tns:UploadFile"/>'
FIRST_BODY = '<wsdlsoap11:body use="literal"/>'
FIRST_FAULT = '<wsdlsoap11:fault name="WebchatFault" use="literal"/>'
IMPORT = '<wsdl:import namespace="urn:other" location="{}"/>'
HEADER = f'{FIRST_BODY}<wsdlsoap11:header message="tns:UploadFile" use="literal"/>'
ENCODED = "http://schemas.xmlsoap.org/soap/encoding/"
ARRAY = (
    f'<xs:complexType name="List"><xs:complexContent><xs:restriction xmlns:e="{ENCODED}" base="e:Array"/>'
    "</xs:complexContent></xs:complexType>"
)

# What breaks each rule: (what is replaced, once, by what).
BROKEN: dict[str, tuple[str, str]] = {
    "R4004": ("version='1.0'", "version='1.1'"),
    "R4003": ("encoding='UTF-8'", "encoding='ISO-8859-9'"),
    "R2001": (TYPES, IMPORT.format("http://other.example/types.xsd") + TYPES),
    "R2002": (TYPES, IMPORT.format("http://other.example/types.xsd") + TYPES),
    "R2003": (TYPES, f'{TYPES}<xs:import namespace="urn:other"/>'),
    "R2004": (
        FIRST_SCHEMA,
        f'{FIRST_SCHEMA}<xs:import namespace="urn:other" schemaLocation="http://x.example/?wsdl"/>',
    ),
    "R2007": (TYPES, '<wsdl:import namespace="urn:other" location=""/>' + TYPES),
    "R2803": (TYPES, '<wsdl:import namespace="other" location="http://x.example/?wsdl"/>' + TYPES),
    "R2022": ("</wsdl:types>", "</wsdl:types>" + IMPORT.format("http://x.example/?wsdl")),
    "R2023": (TYPES, '<wsdl:message name="early"/>' + TYPES),
    "R2026": ('style="document" transport', 'wsdl:required="true" style="document" transport'),
    "R2101": ('type="tns:WebchatPortType"', 'type="tns:Nobody"'),
    "R2102": ('type="tns:StoredFile"', 'type="wsdl:StoredFile"'),
    "R2105": (FIRST_SCHEMA, FIRST_SCHEMA.replace('targetNamespace="urn:webchat:v1" ', "")),
    "R2110": (
        '<xs:complexType name="Chat">',
        ARRAY + '<xs:complexType name="Chat">',
    ),
    "R2111": ('name="messageId" type', 'name="messageId" wsdl:arrayType="xs:string[]" type'),
    "R2112": ('<xs:element name="messageId"', '<xs:element name="ArrayOfMessage"'),
    "R2801": ('type="tns:StoredFile"', 'type="tns:Nowhere"'),
    "R2201": (FIRST_BODY, '<wsdlsoap11:body use="literal" parts="parameters more"/>'),
    "R2210": (FIRST_MESSAGE, FIRST_MESSAGE + '<wsdl:part name="more" element="tns:SendMessage"/>'),
    "R2204": (FIRST_MESSAGE, '<wsdl:part name="parameters" type="tns:StoredFile"/>'),
    "R2205": ('<wsdl:part name="fault" element="tns:WebchatFault"/>', '<wsdl:part name="fault" type="xs:string"/>'),
    "R2206": (FIRST_MESSAGE, '<wsdl:part name="parameters" element="tns:StoredFile"/>'),
    "R2303": ('<wsdl:input name="UploadFile" message="tns:UploadFile"/>', ""),
    "R2305": (
        '<wsdl:part name="parameters" element="tns:UploadFileResponse"/>',
        '<wsdl:part name="a" element="tns:UploadFileResponse"/><wsdl:part name="b" element="tns:UploadFileResponse"/>',
    ),
    "R2306": (FIRST_MESSAGE, FIRST_MESSAGE.replace("element=", 'type="xs:string" element=')),
    "R2401": ('<wsdlsoap11:binding style="document"', '<xs:binding style="document"'),
    "R2701": (' transport="http://schemas.xmlsoap.org/soap/http"', ""),
    "R2702": ('transport="http://schemas.xmlsoap.org/soap/http"', 'transport="http://schemas.xmlsoap.org/soap/smtp"'),
    "R2705": ('soapAction="UploadFile" style="document"', 'soapAction="UploadFile" style="rpc"'),
    "R2706": (FIRST_BODY, '<wsdlsoap11:body use="encoded"/>'),
    "R2707": (FIRST_BODY, "<wsdlsoap11:body/>"),
    "R2723": (FIRST_FAULT, '<wsdlsoap11:fault name="WebchatFault" use="encoded"/>'),
    "R2728": (FIRST_FAULT, '<wsdlsoap11:fault name="WebchatFault"/>'),
    "R2710": ('name="parameters" element="tns:UploadFile"', 'name="parameters" element="tns:SendMessage"'),
    "R2716": (FIRST_BODY, '<wsdlsoap11:body use="literal" namespace="urn:webchat:v1"/>'),
    "R2718": (PORT_TYPE, f'{PORT_TYPE}<wsdl:operation name="Unbound"/>'),
    "R2720": (FIRST_BODY, HEADER),
    "R2721": (FIRST_FAULT, '<wsdlsoap11:fault use="literal"/>'),
    "R2754": (FIRST_FAULT, '<wsdlsoap11:fault name="OtherFault" use="literal"/>'),
    "R2740": (f'<wsdl:fault name="WebchatFault">\n        {FIRST_FAULT}\n      </wsdl:fault>', ""),
}


@pytest.mark.parametrize("number", RULES)
def test_a_wsdl_that_breaks_it_is_noticed(number: str) -> None:
    content = half("SOAP 1.1").decode()
    if number == "R2304":
        spoilt = with_duplicate(content, '<wsdl:operation name="EndChat">', "</wsdl:operation>")
    elif number == "R2711":
        spoilt = with_duplicate(content, '<wsdl:port name="WebchatSoap11"', "</wsdl:port>")
    else:
        before, after = BROKEN[number]
        assert before in content
        spoilt = content.replace(before, after, 1)
        if number == "R2305":
            spoilt = spoilt.replace(
                '<wsdl:operation name="UploadFile"', '<wsdl:operation parameterOrder="c" name="UploadFile"'
            )
    _sentence, check = RULES[number]
    assert list(check(description(spoilt.encode()))) != []
