"""Readers: from an operation's element to its arguments, made once from the Spyne types.

The compiled schema is the judge of what is valid; `_explain` only finds the words for what it refused, from the
caller's own element, since libxml2's messages speak of schema components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree
from spyne import Integer

from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.soap.envelope import MAX_ATTRIBUTES, XSI
from webchat_soap.soap.types import NAMESPACE
from webchat_soap.soap.versions import SOAP11, SOAP12, XML_SPACE

MAX_DIGITS = 100
# More than any operation takes, few enough that looking at each for the right words costs nothing.
MAX_CHILDREN = 16

_NIL = f"{{{XSI}}}nil"
_TYPE = f"{{{XSI}}}type"
_LOCATIONS = (f"{{{XSI}}}schemaLocation", f"{{{XSI}}}noNamespaceSchemaLocation")
_HINTS = (*_LOCATIONS, SOAP11.tag("encodingStyle"), SOAP12.tag("encodingStyle"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parameter:
    name: str
    required: bool
    whole_number: bool
    type_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationReader:
    """Reads one operation's parameters."""

    name: str
    parameters: tuple[_Parameter, ...]
    positions: dict[str, int]

    def read(self, element: Any, schema: etree.XMLSchema, *, body: bytes) -> list[Any]:
        """The arguments in the operation's order, None for what was left away. InvalidRequest."""
        # Only a body that has these anywhere pays for looking where they stand.
        if body.count(b"=") > MAX_ATTRIBUTES and any(len(node.attrib) > MAX_ATTRIBUTES for node in (element, *element)):
            raise InvalidRequest(f"An element has more than {MAX_ATTRIBUTES} attributes.", limit=MAX_ATTRIBUTES)
        if len(element) > MAX_CHILDREN:
            raise InvalidRequest(f"{self.name} holds more elements than it has parameters.", limit=MAX_CHILDREN)
        if b"nil" in body or b"chemaLocation" in body or b"encodingStyle" in body or b":type" in body:
            self._forgive(element)
        if not schema.validate(element):
            raise self._explain(element)
        arguments: list[Any] = [None] * len(self.parameters)
        for child in element:
            position = self.positions[child.tag]
            parameter = self.parameters[position]
            text = child.text or ""
            if parameter.whole_number:
                # Any number of leading zeros is valid; beyond some thousand digits int() refuses.
                if len(text) > MAX_DIGITS:
                    raise InvalidRequest(f"{parameter.name} has too many digits.", field=parameter.name)
                arguments[position] = int(text)
            elif text or parameter.required:
                arguments[position] = text
        return arguments

    def are_texts(self, arguments: Sequence[Any]) -> bool:
        """Whether each of these arguments that was given is a string of which the schema says no more."""
        return all(
            value is None or parameter.type_name == "xs:string"
            for parameter, value in zip(self.parameters, arguments, strict=True)
        )

    def _forgive(self, element: Any) -> None:
        # SOAP::Lite sends nil on a wrapper without parameters, Axis encodingStyle on everything; a schemaLocation is
        # only a hint, and one that libxml2 would follow.
        if element.get(_NIL, "").strip(XML_SPACE) in ("true", "1") and len(element) == 0:
            del element.attrib[_NIL]
        for child in list(element):
            parameter = self._known(child)
            nil = child.get(_NIL, "").strip(XML_SPACE)
            if nil in ("true", "1") and len(child) == 0 and not (child.text or "").strip(XML_SPACE):
                # What stands behind it would go with it, unseen by the schema.
                is_alone = not (child.tail or "").strip(XML_SPACE)
                if parameter is not None and not parameter.required and is_alone:
                    element.remove(child)
            elif nil in ("false", "0"):
                del child.attrib[_NIL]
        for node in element.iter():
            for name in _HINTS:
                if node.get(name) is not None:
                    del node.attrib[name]
            # White space around a type's name collapses, which libxml2 leaves to us.
            type_name = node.get(_TYPE)
            if type_name is not None:
                node.set(_TYPE, type_name.strip(XML_SPACE))

    def _known(self, child: Any) -> _Parameter | None:
        position = self.positions.get(child.tag)
        return None if position is None else self.parameters[position]

    def _explain(self, element: Any) -> InvalidRequest:
        takes = ", ".join(parameter.name for parameter in self.parameters)
        if (element.text or "").strip(XML_SPACE) or any((child.tail or "").strip(XML_SPACE) for child in element):
            return InvalidRequest(f"Text may not stand between the parameters of {self.name}.")
        if element.attrib:
            return InvalidRequest(f"{self.name} takes no attribute {_printable(element.attrib.keys()[0])}.")
        last = -1
        for child in element:
            name = etree.QName(child)
            position = self.positions.get(child.tag)
            if position is None:
                if any(parameter.name == name.localname for parameter in self.parameters):
                    return InvalidRequest(
                        f"{name.localname} must be in the namespace {NAMESPACE}; here it is in "
                        f"{_printable(name.namespace) if name.namespace else 'none'}.",
                        field=name.localname,
                    )
                return InvalidRequest(
                    f"{self.name} has no parameter {_printable(name.localname)}; it takes {takes}.",
                    field=_printable(name.localname),
                )
            parameter = self.parameters[position]
            if position == last:
                return InvalidRequest(f"{parameter.name} stands twice; give it once.", field=parameter.name)
            if position < last:
                return InvalidRequest(
                    f"{parameter.name} stands in the wrong place; the order is {takes}.", field=parameter.name
                )
            last = position
            problem = _explain_value(child, parameter)
            if problem is not None:
                return InvalidRequest(problem, field=parameter.name)
        for parameter in self.parameters:
            if parameter.required and element.find(f"{{{NAMESPACE}}}{parameter.name}") is None:
                return InvalidRequest(f"{self.name} needs {parameter.name}.", field=parameter.name)
        return InvalidRequest(f"The message breaks the schema of {self.name}; see the WSDL.")


def _explain_value(child: Any, parameter: _Parameter) -> str | None:
    if len(child):
        return f"{parameter.name} is {parameter.type_name} and holds no elements; escape or CDATA what is in it."
    if child.get(_NIL, "").strip(XML_SPACE) in ("true", "1"):
        return (
            f"{parameter.name} is required and cannot be nil."
            if parameter.required
            else f"{parameter.name} is nil and yet holds something; leave one of both away."
        )
    for name in child.attrib:
        if name != _TYPE:
            return f"{parameter.name} takes no attribute {_printable(name)}."
    if parameter.whole_number:
        text = (child.text or "").strip(XML_SPACE)
        try:
            # The wire's own digits only: int() also reads 1_0 and digits of other scripts.
            number = int(text) if text.isascii() and "_" not in text and len(text) < 40 else None
        except ValueError:
            number = None
        if number is None:
            shown = _printable(text) or "empty"
            return f"{parameter.name} must be a whole number ({parameter.type_name}), not {shown}."
        bits = 31 if parameter.type_name == "xs:int" else 63
        if not -(2**bits) <= number < 2**bits:
            return f"{parameter.name} is beyond what {parameter.type_name} holds."
    if child.attrib:
        return f"The xsi:type of {parameter.name} must be {parameter.type_name} or come from it."
    return None


def _printable(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:60])
    return shown + ("..." if len(text) > 60 else "")


def make_reader(descriptor: Any, prefix_of: Callable[[Any], str]) -> OperationReader:
    """The reader of a Spyne method descriptor. `prefix_of` names a model's schema type, as `xs:long`."""
    parameters = tuple(
        _Parameter(
            name=name,
            required=model.Attributes.min_occurs > 0,
            whole_number=issubclass(model, Integer),
            type_name=prefix_of(model),
        )
        for name, model in descriptor.in_message._type_info.items()
    )
    return OperationReader(
        name=descriptor.name,
        parameters=parameters,
        positions={f"{{{NAMESPACE}}}{parameter.name}": place for place, parameter in enumerate(parameters)},
    )
