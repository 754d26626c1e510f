"""What the service says of itself, for the human page. soap fills it from the Spyne types, web renders it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldDescription:
    """An element: its XML name, its type's name, how often it stands (`1`, `0..1`, `0..*`, `1..*`) and a sentence."""

    name: str
    type_name: str
    occurs: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeDescription:
    """A complex type (fields) or an enumeration (values, with a sentence each)."""

    name: str
    text: str
    fields: tuple[FieldDescription, ...] = ()
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationDescription:
    """An operation with whole sample messages that work when pasted."""

    name: str
    text: str
    parameters: tuple[FieldDescription, ...]
    result: FieldDescription
    request_soap11: str
    request_soap12: str
    response_soap11: str
    response_soap12: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultDescription:
    """A fault code: `side` is Client or Server; `retryable` and `when` are short texts."""

    code: str
    side: str
    retryable: str
    when: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceDescription:
    """All of it, in the contract's order.

    The samples speak of the chat `sample_chat_id` and name a file at `sample_file_url`, where nothing is: who shows
    them may put others in the place of both.
    """

    operations: tuple[OperationDescription, ...]
    types: tuple[TypeDescription, ...]
    faults: tuple[FaultDescription, ...]
    fault_soap11: str
    fault_soap12: str
    sample_chat_id: str
    sample_file_url: str
