"""What in a WSDL would break clients that were generated from an earlier one: `incompatible_changes(released, now)`.

Who was generated from the released document must be able to send what it sends and to read what it gets. So requests
may be given more freedom (a new optional parameter at the end, a required one made optional, a new enumeration value, a
new operation), answers may not change at all: strict clients refuse elements and values that their document did not
have. Names count too, since they are names in generated code, and clients that read the WSDL when they start look
services, ports and operations up by them. Addresses, documentation, prefixes and the order of components do not count.

Contract: section 3. wsdl/README.md says the same to people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from lxml import etree

WSDL = "http://schemas.xmlsoap.org/wsdl/"
XSD = "http://www.w3.org/2001/XMLSchema"
NS = {"wsdl": WSDL, "xs": XSD}

Direction = Literal["request", "answer"]


def incompatible_changes(released: bytes, now: bytes) -> list[str]:
    """What breaks clients of the released document, one sentence each; empty when nothing does.

    Both are single WSDL 1.1 documents with their schema inside, in UTF-8.
    """
    return list(dict.fromkeys(_Comparison(old=_Document(released), new=_Document(now)).all()))


@dataclass(frozen=True, kw_only=True)
class _Member:
    """An element of a sequence: its type as `{namespace}name`, or the text of the one inside it."""

    name: str
    type_name: str
    least: str
    most: str
    rest: tuple[tuple[str, str], ...]


class _Document:
    """The components of a WSDL by name."""

    def __init__(self, content: bytes) -> None:
        self.root = etree.fromstring(content)
        self.namespace = self.root.get("targetNamespace")
        self.schemas = {node.get("targetNamespace"): node for node in self.root.iterfind("wsdl:types/xs:schema", NS)}

    def components(self, kind: str) -> dict[str, Any]:
        """Top-level components (`message`) by name."""
        return _by_name(self.root.iterfind(f"wsdl:{kind}", NS))

    def schema_component(self, kind: str, qname: str | None) -> Any:
        """A global element or type by `{namespace}name`, None when it is not there."""
        if not qname or not qname.startswith("{"):
            return None
        namespace, _, name = qname[1:].partition("}")
        schema = self.schemas.get(namespace)
        return None if schema is None else schema.find(f"xs:{kind}[@name='{name}']", NS)

    def type_named(self, qname: str) -> Any:
        """A complex or simple type, None for those of XML Schema itself."""
        found = self.schema_component("complexType", qname)
        return self.schema_component("simpleType", qname) if found is None else found

    def elements_of(self, message: str | None) -> list[str]:
        """The elements that a message carries, as `{namespace}name`."""
        node = self.components("message").get((message or "").rpartition("}")[2])
        parts = [] if node is None else node.findall("wsdl:part", NS)
        return [qname for part in parts if (qname := _qname(part, "element"))]


class _Comparison:
    def __init__(self, *, old: _Document, new: _Document) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[Direction, str]] = set()

    def all(self) -> Iterator[str]:
        if self._old.namespace != self._new.namespace:
            yield f"the namespace changed from {self._old.namespace} to {self._new.namespace}"
            return
        yield from self._components("service", self._service, may_grow=False)
        yield from self._components("binding", self._binding, may_grow=False)
        yield from self._components("portType", self._port_type, may_grow=False)
        yield from self._components("message", self._message, may_grow=True)
        for namespace, schema in self._old.schemas.items():
            new = self._new.schemas.get(namespace)
            if new is None:
                yield f"the schema of {namespace} was removed"
                continue
            for attribute in ("elementFormDefault", "attributeFormDefault"):
                before, after = schema.get(attribute, "unqualified"), new.get(attribute, "unqualified")
                if before != after:
                    yield f"{attribute} changed from {before} to {after}"

    def _components(
        self, kind: str, compare: Callable[[str, Any, Any], Iterator[str]], *, may_grow: bool
    ) -> Iterator[str]:
        old, new = self._old.components(kind), self._new.components(kind)
        yield from _names(kind, old, new, may_grow=may_grow)
        for name in _in_both(old, new):
            yield from compare(f"{kind} {name}", old[name], new[name])

    def _service(self, where: str, old: Any, new: Any) -> Iterator[str]:
        before, after = _by_name(old.iterfind("wsdl:port", NS)), _by_name(new.iterfind("wsdl:port", NS))
        # npm's soap and others take the only port there is, or the first: another one would change what they call.
        yield from _names(f"port of {where}", before, after, may_grow=False)
        if [*before] != [*after] and {*before} == {*after}:
            yield f"the ports of {where} stand in another order"
        for name in _in_both(before, after):
            yield from _same(f"port {name}: binding", _qname(before[name], "binding"), _qname(after[name], "binding"))

    def _binding(self, where: str, old: Any, new: Any) -> Iterator[str]:
        yield from _same(f"{where}: portType", _qname(old, "type"), _qname(new, "type"))
        yield from _same(f"{where}: protocol", _extensions(old), _extensions(new))
        before, after = _by_name(old.iterfind("wsdl:operation", NS)), _by_name(new.iterfind("wsdl:operation", NS))
        yield from _names(f"operation of {where}", before, after, may_grow=True)
        for name in _in_both(before, after):
            operation = f"operation {name} of {where}"
            yield from _same(f"{operation}: soapAction or style", _extensions(before[name]), _extensions(after[name]))
            yield from _same(f"{operation}: body or fault", _ways(before[name]), _ways(after[name]))

    def _port_type(self, where: str, old: Any, new: Any) -> Iterator[str]:
        before, after = _by_name(old.iterfind("wsdl:operation", NS)), _by_name(new.iterfind("wsdl:operation", NS))
        yield from _names("operation", before, after, may_grow=True)
        for name in _in_both(before, after):
            operation = f"operation {name}"
            yield from _same(
                f"{operation}: parameterOrder", before[name].get("parameterOrder"), after[name].get("parameterOrder")
            )
            yield from _same(f"{operation}: messages", _ways(before[name]), _ways(after[name]))
            for way in before[name]:
                if way.get("message") is None:
                    continue
                direction: Direction = "request" if way.tag == f"{{{WSDL}}}input" else "answer"
                for element in self._old.elements_of(_qname(way, "message")):
                    yield from self._element(direction, element)

    def _message(self, where: str, old: Any, new: Any) -> Iterator[str]:
        def parts(message: Any) -> list[tuple[str, str, str]]:
            found = message.iterfind("wsdl:part", NS)
            return [(part.get("name", ""), _qname(part, "element"), _qname(part, "type")) for part in found]

        yield from _same(f"{where}: parts", parts(old), parts(new))

    def _element(self, direction: Direction, qname: str) -> Iterator[str]:
        old, new = (document.schema_component("element", qname) for document in (self._old, self._new))
        name = _local(qname)
        if old is None:
            return
        if new is None:
            yield f"element {name} was removed"
            return
        yield from _same(f"element {name}: type", _qname(old, "type"), _qname(new, "type"))
        yield from _same(f"element {name}", _other_attributes(old), _other_attributes(new))
        inside = [node.find("xs:complexType", NS) for node in (old, new)]
        if inside[0] is not None and inside[1] is not None:
            yield from self._content(direction, name, *inside)
        elif (inside[0] is None) != (inside[1] is None):
            yield f"element {name}: its type moved"
        elif old.get("type"):
            yield from self._type(direction, _qname(old, "type"))

    def _type(self, direction: Direction, qname: str) -> Iterator[str]:
        if (direction, qname) in self._seen:
            return
        self._seen.add((direction, qname))
        old, new = self._old.type_named(qname), self._new.type_named(qname)
        name = _local(qname)
        if old is None:
            return
        if new is None:
            yield f"type {name} was removed"
        elif old.tag != new.tag:
            yield f"type {name} is {_local(new.tag)} now"
        elif old.tag == f"{{{XSD}}}simpleType":
            yield from _simple_type(direction, name, old, new)
        else:
            yield from self._content(direction, name, old, new)

    def _content(self, direction: Direction, owner: str, old: Any, new: Any) -> Iterator[str]:
        """Two complex types, of a parameter wrapper or named."""
        yield from _same(f"{owner}: content beside its elements", _rest_of(old), _rest_of(new))
        before, after = _members(old), _members(new)
        what = f"parameter {{}} of {owner}" if direction == "request" else f"element {{}} of {owner}"
        for name in (name for name in before if name not in after):
            yield f"{what.format(name)} was removed"
        kept = [name for name in after if name in before]
        if kept != [name for name in before if name in after]:
            yield f"the {'parameters' if direction == 'request' else 'elements'} of {owner} stand in another order"
        for name in kept:
            yield from _member(direction, what.format(name), before[name], after[name])
            yield from self._type(direction, before[name].type_name)
        added = [name for name in after if name not in before]
        if direction == "answer":
            yield from (f"{what.format(name)} is new: strict clients refuse the answer" for name in added)
            return
        for name in added:
            if after[name].least != "0":
                yield f"{what.format(name)} is new and required"
        # Who calls by position, over a WSDL read when the program starts, would fill in the wrong one.
        for one, other in pairwise(after):
            if one in added and other in before:
                yield f"{what.format(one)} is new and does not stand at the end"


def _member(direction: Direction, what: str, old: _Member, new: _Member) -> Iterator[str]:
    yield from _same(f"{what}: type", old.type_name, new.type_name)
    yield from _same(f"{what}: maxOccurs", old.most, new.most)
    yield from _same(what, old.rest, new.rest)
    if old.least == new.least:
        return
    if direction == "answer":
        yield from _same(f"{what}: minOccurs", old.least, new.least)
    elif int(new.least) > int(old.least):
        yield f"{what} is required now"


def _simple_type(direction: Direction, name: str, old: Any, new: Any) -> Iterator[str]:
    def values(node: Any) -> list[str]:
        return [each.get("value") for each in node.iter(f"{{{XSD}}}enumeration")]

    before, after = values(old), values(new)
    yield from (f"value {value} of {name} was removed" for value in before if value not in after)
    if direction == "answer" or not before:
        yield from (f"value {value} of {name} is new" for value in after if value not in before)
    yield from _same(
        f"type {name}: base or facets", _text(old, without="enumeration"), _text(new, without="enumeration")
    )


def _members(complex_type: Any) -> dict[str, _Member]:
    """The elements of the type's sequence, in order."""
    return {
        node.get("name") or _local(_qname(node, "ref")): _Member(
            name=node.get("name") or _local(_qname(node, "ref")),
            type_name=_qname(node, "type") or _qname(node, "ref") or _text(node),
            least=node.get("minOccurs", "1"),
            most=node.get("maxOccurs", "1"),
            rest=_other_attributes(node),
        )
        for node in complex_type.iterfind("xs:sequence/xs:element", NS)
    }


def _other_attributes(element: Any) -> tuple[tuple[str, str], ...]:
    known = {"name", "type", "ref", "minOccurs", "maxOccurs"}
    said = {"nillable": "false", "abstract": "false"} | dict(element.attrib)
    return tuple(sorted((name, value) for name, value in said.items() if name not in known))


def _rest_of(complex_type: Any) -> str:
    """A complex type without its sequence's elements: attributes, choices, wildcards, an extended base."""
    elements = {*complex_type.iterfind("xs:sequence/xs:element", NS)}
    return _text(complex_type, skip=lambda node: node in elements, nameless=True)


def _text(
    node: Any, *, without: str = "", skip: Callable[[Any], bool] = lambda node: False, nameless: bool = False
) -> str:
    """A node as text in which prefixes, documentation and white space do not count."""

    def write(each: Any) -> str:
        attributes = {
            name: _qname(each, name) if name in ("type", "base", "ref", "itemType") else value
            for name, value in each.attrib.items()
            if not (nameless and each is node and name == "name")
        }
        inside = "".join(
            write(child)
            for child in each
            if isinstance(child.tag, str)
            and _local(child.tag) not in ("annotation", "documentation", without)
            and not skip(child)
        )
        said = " ".join(f"{name}={value}" for name, value in sorted(attributes.items()))
        return f"{_local(each.tag)}({said}){{{inside}}}"

    return write(node)


def _extensions(node: Any) -> list[str]:
    """What a binding says in its own words (soap:binding, soap:operation), without addresses."""
    return [_extension(each) for each in node if _is_extension(each)]


def _ways(operation: Any) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Input, output and faults of an operation: name, message and how they are carried."""
    ways = (
        each for each in operation if isinstance(each.tag, str) and _local(each.tag) in ("input", "output", "fault")
    )
    return [
        (
            _local(way.tag),
            way.get("name", ""),
            _qname(way, "message"),
            tuple(_extension(each) for each in way if _is_extension(each)),
        )
        for way in ways
    ]


def _is_extension(node: Any) -> bool:
    return isinstance(node.tag, str) and etree.QName(node).namespace != WSDL


def _extension(node: Any) -> str:
    return f"{node.tag} {sorted(node.attrib.items())}"


def _names(what: str, old: Mapping[str, Any], new: Mapping[str, Any], *, may_grow: bool) -> Iterator[str]:
    yield from (f"{what} {name} was removed" for name in old if name not in new)
    if not may_grow:
        yield from (f"{what} {name} is new" for name in new if name not in old)


def _in_both(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in old if name in new]


def _same(what: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"{what} changed from {_readable(before)} to {_readable(after)}"


def _readable(value: object) -> str:
    return re.sub(r"\{[^{}]*[:/][^{}]*\}", "", str(value)) or "nothing"


def _by_name(nodes: Iterable[Any]) -> dict[str, Any]:
    return {node.get("name"): node for node in nodes}


def _qname(node: Any, attribute: str) -> str:
    """A QName in an attribute as `{namespace}name`, empty when the attribute is not there."""
    value = node.get(attribute)
    if not value:
        return ""
    prefix, colon, name = value.strip().rpartition(":")
    return f"{{{node.nsmap.get(prefix if colon else None) or ''}}}{name}"


def _local(qname: str) -> str:
    return qname.rpartition("}")[2]
