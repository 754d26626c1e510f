"""The rules of WS-I Basic Profile 1.1 about service descriptions, as functions over one WSDL document.

A rule takes a `Description` and yields what breaks it, one sentence each; none means that it holds. `RULES` has them by
their numbers in the profile (section 4, Service Description), each with what it demands in our own words.

Left out are rules about messages (ENVELOPE, R2301 and R2742 among them), registries, imported documents and what is
optional (MAY); those about rpc-literal bindings (R2203, R2717, R2726), since R2705 as held here, document-literal
alone, leaves them nothing to check; R2719 and R2741, since there are no header faults; R2028 and R2029, validity by the
schemas of WSDL and its SOAP binding, which test_wsdl.py has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

WSDL = "http://schemas.xmlsoap.org/wsdl/"
SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"
XSD = "http://www.w3.org/2001/XMLSchema"
HTTP = "http://schemas.xmlsoap.org/soap/http"
SOAP_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
NS = {"wsdl": WSDL, "soap": SOAP, "xs": XSD}

Violations = Iterator[str]


@dataclass(frozen=True, kw_only=True)
class Description:
    """A WSDL document as bytes and as a tree."""

    content: bytes
    root: Any

    def find(self, path: str) -> list[Any]:
        """Nodes by XPath with the prefixes wsdl, soap and xs."""
        found: list[Any] = self.root.xpath(path, namespaces=NS)
        return found

    def named(self, kind: str, node: Any, value: str | None) -> Any:
        """The component of this kind (`message`) that a QName in an attribute of `node` means, or None."""
        if value is None:
            return None
        namespace, name = resolve(node, value)
        if namespace != self.root.get("targetNamespace"):
            return None
        found = [each for each in self.root.findall(f"wsdl:{kind}", NS) if each.get("name") == name]
        return found[0] if len(found) == 1 else None

    def bound(self, binding: Any) -> Iterator[tuple[Any, Any | None]]:
        """The operations of a binding, each with its portType's operation of the same name."""
        port_type = self.named("portType", binding, binding.get("type"))
        abstract = [] if port_type is None else port_type.findall("wsdl:operation", NS)
        for operation in binding.findall("wsdl:operation", NS):
            same = [each for each in abstract if each.get("name") == operation.get("name")]
            yield operation, same[0] if same else None

    def bodies(self) -> Iterator[tuple[Any, list[Any]]]:
        """Every soap:body of every binding with the message parts it may refer to."""
        for binding in self.find("/*/wsdl:binding"):
            for operation, abstract in self.bound(binding):
                for way in ("input", "output"):
                    message = None
                    said = None if abstract is None else abstract.find(f"wsdl:{way}", NS)
                    if said is not None:
                        message = self.named("message", said, said.get("message"))
                    parts = [] if message is None else message.findall("wsdl:part", NS)
                    for body in operation.findall(f"wsdl:{way}/soap:body", NS):
                        yield body, parts


def resolve(node: Any, value: str) -> tuple[str | None, str]:
    """A QName in an attribute as (namespace, local name)."""
    prefix, colon, name = value.strip().rpartition(":")
    return node.nsmap.get(prefix if colon else None), name


def where(node: Any) -> str:
    """Where a node stands, for a sentence."""
    steps = [node, *node.iterancestors()]
    names = [f"{etree.QName(each).localname}[{each.get('name')}]" for each in reversed(steps) if each.get("name")]
    return "/".join([*names, etree.QName(node).localname] if not node.get("name") else names)


def xml_1_0(d: Description) -> Violations:
    if d.root.getroottree().docinfo.xml_version != "1.0":
        yield "the document is not XML 1.0"


def utf(d: Description) -> Violations:
    encoding = (d.root.getroottree().docinfo.encoding or "UTF-8").upper()
    if encoding not in ("UTF-8", "UTF-16"):
        yield f"the document is in {encoding}"


def imports_only_wsdl(d: Description) -> Violations:
    for node in d.find("//wsdl:import"):
        if str(node.get("location")).lower().endswith(".xsd"):
            yield f"wsdl:import of {node.get('location')}"


def schema_by_schema_import(d: Description) -> Violations:
    for node in d.find("//xs:import[not(parent::xs:schema[parent::wsdl:types])]"):
        yield f"xs:import at {where(node)}"


def schema_import_has_location_of_schema(d: Description) -> Violations:
    for node in d.find("//xs:import[@schemaLocation]"):
        if ".wsdl" in node.get("schemaLocation").lower() or "?wsdl" in node.get("schemaLocation").lower():
            yield f"xs:import of {node.get('schemaLocation')}"


def import_has_location(d: Description) -> Violations:
    for node in d.find("//wsdl:import"):
        if not (node.get("location") or "").strip():
            yield f"wsdl:import of {node.get('namespace')} without a location"


def import_namespace_is_absolute(d: Description) -> Violations:
    for node in d.find("//wsdl:import"):
        if not urlsplit(node.get("namespace") or "").scheme:
            yield f"wsdl:import of the namespace {node.get('namespace')}"


def order(first: str, allowed_before: tuple[str, ...]) -> Callable[[Description], Violations]:
    def check(d: Description) -> Violations:
        for node in d.find(f"/*/wsdl:{first}"):
            for before in node.itersiblings(preceding=True):
                name = etree.QName(before)
                if name.namespace == WSDL and name.localname not in allowed_before:
                    yield f"{name.localname} stands before {first}"

    return check


def nothing_is_required(d: Description) -> Violations:
    for node in d.find("//*[@wsdl:required='true' or @wsdl:required='1']"):
        yield f"{where(node)} is required"


def wsdl_references(d: Description) -> Violations:
    known = {d.root.get("targetNamespace"), *(node.get("namespace") for node in d.find("/*/wsdl:import"))}
    for path, attribute in (
        ("//wsdl:binding", "type"),
        ("//wsdl:port", "binding"),
        ("//wsdl:portType/wsdl:operation/*[@message]", "message"),
    ):
        for node in d.find(path):
            namespace, name = resolve(node, node.get(attribute) or "")
            if namespace not in known:
                yield f"{where(node)} refers to {name} in {namespace}"
            elif d.named({"type": "portType"}.get(attribute, attribute), node, node.get(attribute)) is None:
                yield f"{where(node)} refers to {name}, which is not there"


def schema_references(d: Description) -> Violations:
    for schema in d.find("//xs:schema"):
        known = {XSD, schema.get("targetNamespace"), *(e.get("namespace") for e in schema.findall("xs:import", NS))}
        for node in schema.iter(f"{{{XSD}}}*"):
            for attribute in ("type", "base", "ref", "itemType"):
                if node.get(attribute) and resolve(node, node.get(attribute))[0] not in known:
                    yield f"{where(node)} uses {node.get(attribute)}"
    known = {schema.get("targetNamespace") for schema in d.find("//xs:schema")} | {XSD}
    for part in d.find("//wsdl:part"):
        for attribute in ("element", "type"):
            if part.get(attribute) and resolve(part, part.get(attribute))[0] not in known:
                yield f"{where(part)} uses {part.get(attribute)}"


def schemas_have_a_namespace(d: Description) -> Violations:
    for schema in d.find("//wsdl:types/xs:schema"):
        others = [each for each in schema if each.tag not in (f"{{{XSD}}}import", f"{{{XSD}}}annotation")]
        if others and not (schema.get("targetNamespace") or "").strip():
            yield "a schema without targetNamespace"


def no_encoded_arrays(d: Description) -> Violations:
    for node in d.find("//xs:extension | //xs:restriction"):
        if resolve(node, node.get("base") or "") == (SOAP_ENCODING, "Array"):
            yield f"{where(node)} is made from soapenc:Array"


def no_array_type(d: Description) -> Violations:
    for node in d.find("//*[@wsdl:arrayType]"):
        yield f"{where(node)} has wsdl:arrayType"


def no_array_of(d: Description) -> Violations:
    for node in d.find("//xs:element[starts-with(@name, 'ArrayOf')]"):
        yield f"{where(node)} is named by the convention for arrays"


def at_most_one_listed_part(d: Description) -> Violations:
    for body, _parts in d.bodies():
        if len((body.get("parts") or "").split()) > 1:
            yield f"{where(body)} lists more than one part"


def at_most_one_part(d: Description) -> Violations:
    for body, parts in d.bodies():
        if body.get("parts") is None and len(parts) > 1:
            yield f"{where(body)} stands for {len(parts)} parts"


def body_parts_are_elements(d: Description) -> Violations:
    for body, parts in d.bodies():
        if any(part.get("element") is None for part in parts):
            yield f"{where(body)} refers to a part that is no element"


def fault_parts_are_elements(d: Description) -> Violations:
    for binding in d.find("/*/wsdl:binding"):
        for operation, abstract in d.bound(binding):
            for fault in operation.findall("wsdl:fault", NS):
                said = [] if abstract is None else abstract.findall("wsdl:fault", NS)
                same = [each for each in said if each.get("name") == fault.get("name")]
                message = d.named("message", same[0], same[0].get("message")) if same else None
                parts = [] if message is None else message.findall("wsdl:part", NS)
                if [part.get("element") is not None for part in parts] != [True]:
                    yield f"{where(fault)} is not one part that is an element"


def parts_name_global_elements(d: Description) -> Violations:
    known = {
        (schema.get("targetNamespace"), element.get("name"))
        for schema in d.find("//xs:schema")
        for element in schema.findall("xs:element", NS)
    }
    for part in d.find("//wsdl:part[@element]"):
        if resolve(part, part.get("element")) not in known:
            yield f"{where(part)} names {part.get('element')}, which is no global element"


def no_type_and_element(d: Description) -> Violations:
    for part in d.find("//wsdl:part[@type and @element]"):
        yield f"{where(part)} has both type and element"


def no_solicit_response(d: Description) -> Violations:
    for operation in d.find("//wsdl:portType/wsdl:operation"):
        ways = [etree.QName(each).localname for each in operation.xpath("wsdl:input | wsdl:output", namespaces=NS)]
        if ways not in (["input"], ["input", "output"]):
            yield f"{where(operation)} is {ways or 'nothing'}"


def operation_names_differ(d: Description) -> Violations:
    for port_type in d.find("//wsdl:portType"):
        names = Counter(each.get("name") for each in port_type.findall("wsdl:operation", NS))
        yield from (f"{name} stands {count} times" for name, count in names.items() if count > 1)


def parameter_order(d: Description) -> Violations:
    for operation in d.find("//wsdl:portType/wsdl:operation[@parameterOrder]"):
        output = operation.find("wsdl:output", NS)
        message = None if output is None else d.named("message", output, output.get("message"))
        parts = [] if message is None else [part.get("name") for part in message.findall("wsdl:part", NS)]
        if len(set(parts) - set(operation.get("parameterOrder").split())) > 1:
            yield f"{where(operation)} leaves out more than one part"


def soap_binding_only(d: Description) -> Violations:
    for binding in d.find("//wsdl:binding"):
        if len(binding.findall("soap:binding", NS)) != 1:
            yield f"{where(binding)} has not one soap:binding"
        yield from (
            f"{where(node)} is of another binding"
            for node in binding.iter()
            if isinstance(node.tag, str) and etree.QName(node).namespace not in (SOAP, WSDL)
        )


def transport_is_given(d: Description) -> Violations:
    for node in d.find("//soap:binding[not(@transport)]"):
        yield f"{where(node)} names no transport"


def transport_is_http(d: Description) -> Violations:
    for node in d.find("//soap:binding"):
        if node.get("transport") != HTTP:
            yield f"{where(node)} is over {node.get('transport')}"


def document_literal(d: Description) -> Violations:
    for binding in d.find("//wsdl:binding"):
        default = "".join(each.get("style", "document") for each in binding.findall("soap:binding", NS)) or "document"
        for operation in binding.findall("wsdl:operation", NS):
            said = operation.find("soap:operation", NS)
            style = default if said is None else said.get("style", default)
            if style != "document":
                yield f"{where(operation)} is {style}"


def use_is_literal(*kinds: str) -> Callable[[Description], Violations]:
    def check(d: Description) -> Violations:
        for kind in kinds:
            for node in d.find(f"//soap:{kind}"):
                if node.get("use", "literal") != "literal":
                    yield f"{where(node)} is {node.get('use')}"

    return check


def use_is_said(*kinds: str) -> Callable[[Description], Violations]:
    """Stricter than the rules that say what a missing use means: nobody has to know what it means."""

    def check(d: Description) -> Violations:
        for kind in kinds:
            for node in d.find(f"//soap:{kind}[not(@use)]"):
                yield f"{where(node)} does not say its use"

    return check


def signatures_differ(d: Description) -> Violations:
    for binding in d.find("/*/wsdl:binding"):
        seen: Counter[str] = Counter()
        for operation, abstract in d.bound(binding):
            said = None if abstract is None else abstract.find("wsdl:input", NS)
            message = None if said is None else d.named("message", said, said.get("message"))
            parts = [] if message is None else message.findall("wsdl:part", NS)
            for body in operation.findall("wsdl:input/soap:body", NS):
                chosen = body.get("parts")
                elements = [p.get("element") for p in parts if chosen is None or p.get("name") in chosen.split()]
                seen[" ".join(str(each) for each in elements)] += 1
        yield from (f"{count} operations begin with {name or 'nothing'}" for name, count in seen.items() if count > 1)


def one_port_per_address(d: Description) -> Violations:
    seen = Counter(node.get("location") for node in d.find("//wsdl:port/soap:address"))
    yield from (f"{count} ports at {location}" for location, count in seen.items() if count > 1)


def no_namespace_attribute(d: Description) -> Violations:
    for node in d.find("//soap:body | //soap:header | //soap:headerfault | //soap:fault"):
        if node.get("namespace") is not None:
            yield f"{where(node)} has a namespace"


def same_operations(d: Description) -> Violations:
    for binding in d.find("/*/wsdl:binding"):
        port_type = d.named("portType", binding, binding.get("type"))
        abstract = set() if port_type is None else {e.get("name") for e in port_type.findall("wsdl:operation", NS)}
        bound = [operation.get("name") for operation in binding.findall("wsdl:operation", NS)]
        if sorted(bound) != sorted(abstract):
            yield f"{where(binding)} binds {sorted(set(bound) ^ abstract)} otherwise than its portType"


def headers_have_a_part(d: Description) -> Violations:
    for node in d.find("//soap:header | //soap:headerfault"):
        if not (node.get("part") or "").strip() or " " in node.get("part"):
            yield f"{where(node)} names no part"


def faults_have_a_name(d: Description) -> Violations:
    for node in d.find("//soap:fault[not(@name)]"):
        yield f"{where(node)} has no name"


def fault_names_agree(d: Description) -> Violations:
    for node in d.find("//soap:fault"):
        if node.get("name") != node.getparent().get("name"):
            yield f"{where(node)} stands in {node.getparent().get('name')}"


def known_faults_are_bound(d: Description) -> Violations:
    for binding in d.find("/*/wsdl:binding"):
        for operation, abstract in d.bound(binding):
            said = set() if abstract is None else {each.get("name") for each in abstract.findall("wsdl:fault", NS)}
            bound = {each.get("name") for each in operation.findall("wsdl:fault/soap:fault", NS)}
            if said - bound:
                yield f"{where(operation)} does not describe {sorted(said - bound)}"


def schema_1_0(d: Description) -> Violations:
    for node in d.root.iter():
        if isinstance(node.tag, str) and etree.QName(node).localname == "schema" and etree.QName(node).namespace != XSD:
            yield f"a schema of {etree.QName(node).namespace}"
    for schema in d.find("//wsdl:types/xs:schema"):
        try:
            etree.XMLSchema(etree.fromstring(etree.tostring(schema)))
        except etree.XMLSchemaParseError as error:
            yield f"a schema that does not compile: {error}"


RULES: dict[str, tuple[str, Callable[[Description], Violations]]] = {
    "R4004": ("the document is XML 1.0", xml_1_0),
    "R4003": ("it is in UTF-8 or UTF-16", utf),
    "R2001": ("wsdl:import imports WSDL only", imports_only_wsdl),
    "R2002": ("a schema is imported by xs:import, not by wsdl:import", imports_only_wsdl),
    "R2003": ("xs:import stands in a schema of the types only", schema_by_schema_import),
    "R2004": ("what xs:import names is a schema", schema_import_has_location_of_schema),
    "R2007": ("wsdl:import has a location", import_has_location),
    "R2803": ("the namespace of wsdl:import is absolute", import_namespace_is_absolute),
    "R2022": ("imports come first", order("import", ("documentation", "import"))),
    "R2023": ("types come before all but imports", order("types", ("documentation", "import", "types"))),
    "R2026": ("no extension is required", nothing_is_required),
    "R2101": ("references lead to components that are there", wsdl_references),
    "R2102": ("references to types and elements use namespaces of the schemas", schema_references),
    "R2105": ("every schema has a target namespace", schemas_have_a_namespace),
    "R2110": ("nothing is made from soapenc:Array", no_encoded_arrays),
    "R2111": ("nothing has wsdl:arrayType", no_array_type),
    "R2112": ("nothing is named ArrayOf…", no_array_of),
    "R2801": ("types are told in XML Schema 1.0", schema_1_0),
    "R2201": ("a body lists at most one part", at_most_one_listed_part),
    "R2210": ("a body that lists no parts stands for at most one", at_most_one_part),
    "R2204": ("what a body refers to is an element", body_parts_are_elements),
    "R2205": ("what a fault refers to is an element", fault_parts_are_elements),
    "R2206": ("a part's element is a global one", parts_name_global_elements),
    "R2303": ("operations are request-response or one-way", no_solicit_response),
    "R2304": ("a portType's operations have different names", operation_names_differ),
    "R2305": ("parameterOrder leaves out at most one part", parameter_order),
    "R2306": ("no part has both a type and an element", no_type_and_element),
    "R2401": ("bindings are SOAP bindings", soap_binding_only),
    "R2701": ("a binding names its transport", transport_is_given),
    "R2702": ("the transport is HTTP", transport_is_http),
    "R2705": ("bindings are document-literal", document_literal),
    "R2706": ("use is literal", use_is_literal("body", "header", "headerfault", "fault")),
    "R2707": ("use is told", use_is_said("body", "header", "headerfault")),
    "R2723": ("a fault's use is literal", use_is_literal("fault")),
    "R2728": ("a fault's use is told", use_is_said("fault")),
    "R2710": ("operations can be told apart by the body's first element", signatures_differ),
    "R2711": ("no two ports have the same address", one_port_per_address),
    "R2716": ("document-literal bodies and faults have no namespace", no_namespace_attribute),
    "R2718": ("a binding has the operations of its portType", same_operations),
    "R2720": ("headers name their part", headers_have_a_part),
    "R2721": ("faults have a name", faults_have_a_name),
    "R2754": ("a fault is named as the wsdl:fault around it", fault_names_agree),
    "R2740": ("every known fault is described in the binding", known_faults_are_bound),
}
