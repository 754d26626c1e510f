"""The WSDL: what the code generates is what is committed, and what every generated client can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from lxml import etree

from tests.serving import Service
from webchat_soap.app import wsdl_document, wsdl_examples
from webchat_soap.settings import Settings
from webchat_soap.soap import documentation

ROOT = Path(__file__).parents[2]
NS = {
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "xs": "http://www.w3.org/2001/XMLSchema",
    "soap11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
TNS = "urn:webchat:v1"


@pytest.fixture(scope="module")
def wsdl() -> Any:
    return etree.fromstring(wsdl_document("http://127.0.0.1:8000"))


def test_the_committed_wsdl_is_what_the_code_generates() -> None:
    committed = (ROOT / "wsdl" / "webchat.wsdl").read_bytes()
    assert committed == wsdl_document(Settings().bind.url), "run `make wsdl`"


def test_the_served_wsdl_differs_in_the_address_only(service: Service) -> None:
    served = requests.get(f"{service.address}?wsdl", timeout=10)
    assert served.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert served.content == wsdl_document(service.url)
    assert served.content.count(service.address.encode()) == 2


@pytest.mark.parametrize("query", ["wsdl", "WSDL", "Wsdl", "singleWsdl", "wsdl=", "WSDL=1&x=2"])
def test_the_wsdl_is_found_in_any_case(service: Service, query: str) -> None:
    assert b"<wsdl:definitions" in requests.get(f"{service.address}?{query}", timeout=10).content


def test_the_committed_examples_are_what_the_code_generates() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "wsdl" / "examples").glob("*.xml")}
    assert committed == wsdl_examples(), "run `make wsdl`"


def test_the_examples_are_valid_messages(wsdl: Any) -> None:
    schema = etree.XMLSchema(etree.fromstring(etree.tostring(wsdl.find("wsdl:types/xs:schema", NS))))
    for name, text in wsdl_examples().items():
        body = etree.fromstring(text.encode()).find("{*}Body")
        content = body[0].find(".//{urn:webchat:v1}WebchatFault") if name.startswith("fault") else body[0]
        schema.assertValid(etree.fromstring(etree.tostring(content)))


def test_zeep_reads_it_in_strict_mode_with_both_ports(service: Service) -> None:
    client = zeep.Client(f"{service.address}?wsdl", settings=zeep.Settings(strict=True))
    (found,) = client.wsdl.services.values()
    assert found.name == "Webchat"
    assert set(found.ports) == {"WebchatSoap11", "WebchatSoap12"}
    for port in found.ports.values():
        assert list(port.binding._operations) == sorted(
            documentation.OPERATIONS, key=list(port.binding._operations).index
        )
        assert set(port.binding._operations) == set(documentation.OPERATIONS)


def test_names_are_those_of_the_contract(wsdl: Any) -> None:
    assert wsdl.get("targetNamespace") == TNS
    assert [node.get("name") for node in wsdl.findall("wsdl:portType", NS)] == ["WebchatPortType"]
    assert [node.get("name") for node in wsdl.findall("wsdl:binding", NS)] == [
        "WebchatSoap11Binding",
        "WebchatSoap12Binding",
    ]
    assert [node.get("name") for node in wsdl.findall("wsdl:service/wsdl:port", NS)] == [
        "WebchatSoap11",
        "WebchatSoap12",
    ]
    fault = wsdl.xpath("wsdl:message[@name='WebchatException']/wsdl:part", namespaces=NS)
    assert [(part.get("name"), part.get("element")) for part in fault] == [("fault", "tns:WebchatFault")]
    for operation in wsdl.findall("wsdl:portType/wsdl:operation", NS):
        assert operation.get("parameterOrder") is None
        assert [node.get("message") for node in operation.findall("wsdl:fault", NS)] == ["tns:WebchatException"]
    parts = wsdl.xpath("wsdl:message[@name!='WebchatException']/wsdl:part/@name", namespaces=NS)
    assert set(parts) == {"parameters"}


def test_the_order_is_types_message_port_type_binding_service(wsdl: Any) -> None:
    seen = list(dict.fromkeys(etree.QName(node).localname for node in wsdl))
    assert seen == ["types", "message", "portType", "binding", "service"]


def test_the_soap_action_is_the_operations_name(wsdl: Any) -> None:
    for prefix in ("soap11", "soap12"):
        for operation in wsdl.findall(f"wsdl:binding/wsdl:operation/{prefix}:operation", NS):
            assert operation.get("soapAction") == operation.getparent().get("name")
            assert operation.get("style", "document") == "document"
        assert {body.get("use") for body in wsdl.findall(f".//{prefix}:body", NS)} == {"literal"}


def test_nothing_is_nillable_and_no_list_has_a_wrapper(wsdl: Any) -> None:
    schemas = wsdl.findall("wsdl:types/xs:schema", NS)
    assert len(schemas) == 1
    assert schemas[0].get("elementFormDefault") == "qualified"
    assert wsdl.xpath("//xs:element[@nillable]", namespaces=NS) == []
    assert wsdl.xpath("//xs:*[contains(@name, 'Array')]", namespaces=NS) == []
    assert {node.get("type") for node in wsdl.iter(f"{{{NS['xs']}}}element")} <= {
        None,
        *(f"xs:{name}" for name in ("string", "long", "int", "boolean", "dateTime", "anyURI")),
        *(f"tns:{name}" for name in documentation.TYPES),
    }
    names = wsdl.xpath("//xs:schema/xs:simpleType/@name", namespaces=NS)
    assert sorted(names) == ["ChatStatus", "FileType", "Sender"]


def test_wrapper_elements_hold_their_type(wsdl: Any) -> None:
    schema = wsdl.find("wsdl:types/xs:schema", NS)
    elements = {node.get("name"): node for node in schema.findall("xs:element", NS)}
    wrappers = {name for operation in documentation.OPERATIONS for name in (operation, f"{operation}Response")}
    assert set(elements) == wrappers | {"WebchatFault"}
    for name in wrappers:
        assert elements[name].get("type") is None
        assert elements[name].find("xs:complexType/xs:sequence", NS) is not None


def test_parameters_are_those_of_the_contract(wsdl: Any) -> None:
    expected = {
        "UploadFile": ["CHATID string 1", "fileDetails string 1", "clientToken string 0"],
        "SendMessage": ["CHATID string 0", "fileDetails string 1", "clientToken string 0"],
        "StartChat": ["CHATID string 0", "customerName string 0", "clientToken string 0"],
        "GetMessages": ["CHATID string 1", "afterSequence long 0", "maxMessages int 0", "waitSeconds int 0"],
        "EndChat": ["CHATID string 1"],
        "GetLimits": ["CHATID string 0"],
    }
    for operation, parameters in expected.items():
        found = wsdl.xpath(f"//xs:element[@name='{operation}']//xs:sequence/xs:element", namespaces=NS)
        described = [f"{n.get('name')} {n.get('type').partition(':')[2]} {n.get('minOccurs', '1')}" for n in found]
        assert described == parameters


def test_everything_is_documented_and_nothing_else(wsdl: Any) -> None:
    nodes = wsdl.xpath("//xs:schema//xs:element | //xs:schema/xs:complexType | //xs:schema/xs:simpleType"
                       " | //xs:enumeration", namespaces=NS)  # fmt: skip
    assert len(nodes) > 100
    for node in nodes:
        text = node.findtext("xs:annotation/xs:documentation", namespaces=NS)
        assert text, etree.tostring(node)[:200]
    members = {
        (node.get("name"), member.get("name"))
        for node in wsdl.iterfind("wsdl:types/xs:schema/xs:complexType", NS)
        for member in node.iterfind("xs:sequence/xs:element", NS)
    }
    assert set(documentation.ELEMENTS) == members
    for operation in wsdl.findall("wsdl:portType/wsdl:operation", NS):
        assert (
            operation.findtext("wsdl:documentation", namespaces=NS) == documentation.OPERATIONS[operation.get("name")]
        )


def test_the_port_type_the_bindings_and_the_ports_are_documented(wsdl: Any) -> None:
    said = {
        "WebchatPortType": documentation.PORT_TYPE,
        "Webchat": documentation.SERVICE,
        **documentation.SOAP_VERSIONS,
    }
    nodes = wsdl.xpath("wsdl:portType | wsdl:binding | wsdl:service | wsdl:service/wsdl:port", namespaces=NS)
    assert {node.get("name"): node.findtext("wsdl:documentation", namespaces=NS) for node in nodes} == said
    for node in wsdl.iter(f"{{{NS['wsdl']}}}documentation"):
        assert node.getparent().index(node) == 0, "WSDL 1.1 wants it first"


@pytest.mark.parametrize("query", ["xsd=1", "xsd", "XSD=1", "Xsd=webchat"])
def test_the_schema_alone_can_be_read_by_itself(service: Service, wsdl: Any, query: str) -> None:
    answer = requests.get(f"{service.address}?{query}", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    root = etree.fromstring(answer.content)
    assert root.tag == f"{{{NS['xs']}}}schema"
    assert root.findall("xs:import", NS) + root.findall("xs:include", NS) == []
    assert set(root.nsmap) == {"xs", "tns"}
    inside = wsdl.find("wsdl:types/xs:schema", NS)
    assert [node.get("name") for node in root] == [node.get("name") for node in inside]
    assert service.url.encode() not in answer.content
    schema = etree.XMLSchema(root)
    for name, text in wsdl_examples().items():
        body = etree.fromstring(text.encode()).find("{*}Body")
        schema.assertValid(body[0].find(".//{urn:webchat:v1}WebchatFault") if name.startswith("fault") else body[0])


def test_zeep_compiles_the_schema_alone(service: Service) -> None:
    client = zeep.Client(f"{service.address}?wsdl")
    document = etree.fromstring(requests.get(f"{service.address}?xsd=1", timeout=10).content)
    schema = zeep.xsd.Schema(document, transport=client.transport, location=f"{service.address}?xsd=1")
    assert {each.localname for each in (element.qname for element in schema.elements)} == {
        each.localname for each in (element.qname for element in client.wsdl.types.elements)
    }


def test_the_fault_codes_are_the_tree_of_errors() -> None:
    from webchat_soap.domain import errors

    def leaves(kind: type[Any]) -> set[type[Any]]:
        below = kind.__subclasses__()
        return {leaf for child in below for leaf in leaves(child)} if below else {kind}

    tree = {
        (leaf.__name__, "Client" if issubclass(leaf, errors.SenderError) else "Server", leaf.retryable_by_default)
        for leaf in leaves(errors.WebchatError)
        if leaf.__module__ == errors.__name__
    }
    table = {(fault.code, fault.side, fault.retryable != "no") for fault in documentation.FAULTS}
    assert table == tree
    for leaf in leaves(errors.WebchatError):
        assert leaf.__name__ in (errors.__doc__ or "")


def test_it_is_valid_by_the_schemas_of_wsdl_and_its_soap_binding(wsdl: Any, tmp_path: Path) -> None:
    folder = os.environ.get("WEBCHAT_TEST_DATA")
    if not folder:
        pytest.skip("WEBCHAT_TEST_DATA names no folder with the schemas of WSDL 1.1")
    schemas = Path(folder).resolve() / "schemas"
    # The binding's schema imports that of WSDL without saying where it is; this one says it for both.
    both = (
        f'<xs:schema xmlns:xs="{NS["xs"]}">'
        f'<xs:import namespace="{NS["wsdl"]}" schemaLocation="{(schemas / "wsdl.xsd").as_uri()}"/>'
        f'<xs:import namespace="{NS["soap11"]}" schemaLocation="{(schemas / "soap-binding.xsd").as_uri()}"/>'
        "</xs:schema>"
    )
    schema = etree.XMLSchema(etree.fromstring(both))
    schema.assertValid(etree.fromstring(etree.tostring(wsdl)))
    spoilt = etree.fromstring(etree.tostring(wsdl).replace(b'use="literal"', b'use="other"'))
    assert not schema.validate(spoilt), "the schema of the SOAP binding was not used"
    etree.XMLSchema(etree.fromstring(etree.tostring(wsdl.find("wsdl:types/xs:schema", NS))))


def test_the_address_is_that_of_the_request_and_never_of_another_one(service: Service) -> None:
    def address(host: str) -> tuple[int, str]:
        answer = requests.get(f"{service.address}?wsdl", headers={"Host": host}, timeout=10)
        assert answer.headers.get("Cache-Control") == "no-store"
        return answer.status_code, answer.text

    assert 'location="http://first.example:81/webchat"' in address("first.example:81")[1]
    assert "first.example" not in address("second.example")[1]
    assert 'location="http://[::1]:8000/webchat"' in address("[::1]:8000")[1]


@pytest.mark.parametrize(
    "host", ['a"b', "a<b>", "a b", "a/b", "user@host", "host:port", "a&b", "x" * 300, "host:123456", "ü.example", ""]
)
def test_a_host_that_is_none_poisons_nothing(service: Service, host: str) -> None:
    import http.client

    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/webchat?wsdl", skip_host=True)
    connection.putheader("Host", host.encode("utf-8"))
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 400
    assert "location" not in body
    assert not host or host not in body


def test_behind_a_proxy_the_public_url_counts_and_no_header(start_service: Any) -> None:
    service = start_service(PUBLIC_URL="https://chat.example.com/support")
    answer = requests.get(
        f"{service.address}?wsdl",
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"},
        timeout=10,
    )
    assert answer.text.count('location="https://chat.example.com/support/webchat"') == 2
    assert "evil" not in answer.text


@pytest.mark.parametrize("query", ["?wsdl", "?xsd=1", ""])
def test_what_is_read_is_packed_where_that_is_asked(service: Service, query: str) -> None:
    packed = requests.get(service.address + query, headers={"Accept-Encoding": "gzip"}, timeout=10)
    plain = requests.get(service.address + query, headers={"Accept-Encoding": "identity"}, timeout=10)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 4
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    if query:
        assert packed.content == plain.content
