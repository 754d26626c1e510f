"""The WSDL: Spyne's generator, then the shape that every generated client reads (contract section 1).

What Spyne writes is rebuilt where clients are known to break on it; each step of `_Wsdl11` says who does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree
from spyne.application import Application
from spyne.interface import InterfaceDocuments
from spyne.interface.wsdl import Wsdl11

from webchat_soap.soap import documentation
from webchat_soap.soap.types import NAMESPACE

XSD = "http://www.w3.org/2001/XMLSchema"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
WSDL_SOAP11 = "http://schemas.xmlsoap.org/wsdl/soap/"
WSDL_SOAP12 = "http://schemas.xmlsoap.org/wsdl/soap12/"
HTTP_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"

FAULT_MESSAGE = "WebchatException"
FAULT_ELEMENT = "WebchatFault"
_ADDRESS_MARK = "urn:webchat:address"


def _xsd(name: str) -> str:
    return f"{{{XSD}}}{name}"


def _wsdl(name: str) -> str:
    return f"{{{WSDL}}}{name}"


class _Wsdl11(Wsdl11):
    """Spyne's generator with names and shape of the contract."""

    def __init__(self, interface: Any) -> None:
        super().__init__(interface)
        self.event_manager.add_listener("wsdl_document_built", _reshape)

    def _get_binding_name(self, port_type_name: str) -> str:
        return "WebchatSoap11Binding"


class Documents(InterfaceDocuments):
    """What an Application takes to make its documents with our generator."""

    def __init__(self, interface: Any) -> None:
        self.interface = interface
        self.wsdl11 = _Wsdl11(interface)


def _reshape(generator: Any) -> None:
    root = generator.root_elt
    schema = root.find(f"{_wsdl('types')}/{_xsd('schema')}")
    _shape_schema(schema)
    _document_schema(schema)
    _shape_messages(root)
    _shape_port_type(root.find(_wsdl("portType")))
    _add_soap12(root)
    _order(root)
    _keep_used_prefixes(generator)


def _shape_schema(schema: Any) -> None:
    types = {node.get("name"): node for node in schema.iterchildren(_xsd("complexType"))}
    wrappers = {name for operation in documentation.OPERATIONS for name in (operation, f"{operation}Response")}
    for element in list(schema.iterchildren(_xsd("element"))):
        name = element.get("name")
        if name in wrappers:
            # soapbar sends no arguments to a wrapper whose type has a name.
            wrapped = types[name]
            schema.remove(wrapped)
            del wrapped.attrib["name"], element.attrib["type"]
            if len(wrapped) == 0:
                etree.SubElement(wrapped, _xsd("sequence"))
            element.append(wrapped)
        elif name != FAULT_ELEMENT:
            # Spyne makes a global element of every type; nothing uses them, and soapbar trips over them.
            schema.remove(element)
    order = [*documentation.TYPES]
    nodes = sorted(
        (node for node in schema if node.tag != _xsd("element")), key=lambda node: order.index(node.get("name"))
    )
    elements = sorted((node for node in schema if node.tag == _xsd("element")), key=_operation_order)
    schema[:] = [*nodes, *elements]


def _operation_order(element: Any) -> tuple[int, str]:
    name = element.get("name")
    operations = [*documentation.OPERATIONS]
    base = name.removesuffix("Response")
    return (operations.index(base) if base in operations else len(operations), name)


def _annotate(node: Any, text: str) -> None:
    annotation = etree.Element(_xsd("annotation"))
    etree.SubElement(annotation, _xsd("documentation")).text = text
    node.insert(0, annotation)


def _say(node: Any, text: str) -> None:
    documented = etree.Element(_wsdl("documentation"))
    documented.text = text
    node.insert(0, documented)


def _document_schema(schema: Any) -> None:
    for node in schema:
        name = node.get("name")
        if node.tag == _xsd("element"):
            if name == FAULT_ELEMENT:
                _annotate(node, documentation.TYPES[FAULT_ELEMENT])
                continue
            operation = name.removesuffix("Response")
            for member in node.iter(_xsd("element")):
                if member is node:
                    continue
                if name == operation:
                    _annotate(member, documentation.PARAMETERS[operation, member.get("name")])
                else:
                    _annotate(member, documentation.TYPES[member.get("type").partition(":")[2]])
            _annotate(node, documentation.OPERATIONS[operation] if name == operation else f"What {operation} answers.")
            continue
        for old in list(node.iterchildren(_xsd("annotation"))):
            node.remove(old)
        for member in node.iter(_xsd("element")):
            _annotate(member, documentation.ELEMENTS[name, member.get("name")])
        for value in node.iter(_xsd("enumeration")):
            _annotate(value, documentation.ENUMERATION_VALUES[name, value.get("value")])
        _annotate(node, documentation.TYPES[name])


def _shape_messages(root: Any) -> None:
    for message in root.iterchildren(_wsdl("message")):
        if message.get("name") == FAULT_ELEMENT:
            # Java names the exception after the message and the bean after the element: they must differ.
            message.set("name", FAULT_MESSAGE)
            message.find(_wsdl("part")).set("name", "fault")


def _shape_port_type(port_type: Any) -> None:
    for operation in port_type.iterchildren(_wsdl("operation")):
        # Axis 1.4 aborts on Spyne's parameterOrder, Emacs sends an empty Body because of it.
        operation.attrib.pop("parameterOrder", None)
        for old in list(operation.iterchildren(_wsdl("documentation"))):
            operation.remove(old)
        _say(operation, documentation.OPERATIONS[operation.get("name")])
        operation.find(_wsdl("fault")).set("message", f"tns:{FAULT_MESSAGE}")
    _say(port_type, documentation.PORT_TYPE)


def _add_soap12(root: Any) -> None:
    binding11 = root.find(_wsdl("binding"))
    binding12 = copy.deepcopy(binding11)
    binding12.set("name", "WebchatSoap12Binding")
    _rename_namespace(binding12)
    binding11.addnext(binding12)
    service = root.find(_wsdl("service"))
    port11 = service.find(_wsdl("port"))
    port11.set("name", "WebchatSoap11")
    port12 = copy.deepcopy(port11)
    port12.set("name", "WebchatSoap12")
    port12.set("binding", "tns:WebchatSoap12Binding")
    _rename_namespace(port12)
    port11.addnext(port12)
    _say(service, documentation.SERVICE)
    for node in (binding11, binding12, port11, port12):
        _say(node, documentation.SOAP_VERSIONS[node.get("name")])


def _rename_namespace(node: Any) -> None:
    for part in node.iter(f"{{{WSDL_SOAP11}}}*"):
        part.tag = f"{{{WSDL_SOAP12}}}{etree.QName(part).localname}"


def _order(root: Any) -> None:
    # KDSoap compiles with an empty endpoint when service stands before portType and binding.
    rank = {_wsdl(name): place for place, name in enumerate(("types", "message", "portType", "binding", "service"))}
    root[:] = sorted(root, key=lambda node: rank[node.tag])


def _keep_used_prefixes(generator: Any) -> None:
    root = generator.root_elt
    etree.cleanup_namespaces(
        root,
        top_nsmap={"wsdl": WSDL, "xs": XSD, "soap": WSDL_SOAP11, "soap12": WSDL_SOAP12, "tns": NAMESPACE},
        # tns and xs stand in attribute values only, where lxml does not see them.
        keep_ns_prefixes=["tns", "xs"],
    )
    etree.indent(root, space="  ")


def build_wsdl(application: Application) -> Callable[[str], bytes]:
    """The WSDL as a function of its address (base URL + `/webchat`), built once. UTF-8."""
    generator = application.interface.docs.wsdl11
    generator.build_interface_document(_ADDRESS_MARK)
    before, mark, after = generator.get_interface_document().decode("utf-8").partition(_ADDRESS_MARK)
    middle, mark_again, end = after.partition(_ADDRESS_MARK)
    assert mark
    assert mark_again

    def document(address: str) -> bytes:
        quoted = escape(address, {'"': "&quot;"})
        return f"{before}{quoted}{middle}{quoted}{end}".encode()

    return document


def build_schema(application: Application) -> bytes:
    """The schema alone, a document of its own that needs no other one. UTF-8."""
    generator = application.interface.docs.wsdl11
    if generator.get_interface_document() is None:
        generator.build_interface_document(_ADDRESS_MARK)
    schema = copy.deepcopy(generator.root_elt.find(f"{_wsdl('types')}/{_xsd('schema')}"))
    schema.tail = None
    etree.cleanup_namespaces(schema, top_nsmap={"xs": XSD, "tns": NAMESPACE}, keep_ns_prefixes=["tns", "xs"])
    etree.indent(schema, space="  ")
    document: bytes = etree.tostring(schema, xml_declaration=True, encoding="UTF-8")
    return document + b"\n"
