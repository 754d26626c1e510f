"""That the check which every answer of the test run passes through would notice a bad one."""

from __future__ import annotations

import os

import pytest

from tests.answers import check_answer
from webchat_soap.app import wsdl_examples

ANSWERS = {name: text for name, text in wsdl_examples().items() if "request" not in name}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_examples_pass(name: str) -> None:
    check_answer(500 if name.startswith("fault") else 200, ANSWERS[name].encode())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("StartChat-response-soap11.xml", "<status>OPEN</status>", "<status>open</status>"),
        ("StartChat-response-soap12.xml", "<lastSequence>0</lastSequence>", ""),
        ("GetMessages-response-soap11.xml", "<hasMore>", "<extra/><hasMore>"),
        ("fault-soap11.xml", "<retryable>false</retryable>", "<retryable>no</retryable>"),
        ("fault-soap12.xml", "<code>", "<inner/><code>"),
    ],
)
def test_an_answer_that_breaks_the_wsdls_schema_does_not(name: str, old: str, new: str) -> None:
    spoilt = ANSWERS[name].replace(old, new)
    assert spoilt != ANSWERS[name]
    with pytest.raises(Exception, match="Element"):
        check_answer(500 if name.startswith("fault") else 200, spoilt.encode())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("fault-soap11.xml", "<faultstring>", "<faultactor/><faultstring>"),
        ("fault-soap12.xml", "webchat:ChatEnded</soap:Value>", "nowhere:ChatEnded</soap:Value>"),
        ("fault-soap12.xml", ' xml:lang="en"', ""),
    ],
)
def test_an_answer_that_breaks_the_schema_of_its_envelope_does_not(name: str, old: str, new: str) -> None:
    if not os.environ.get("WEBCHAT_TEST_DATA"):
        pytest.skip("WEBCHAT_TEST_DATA names no folder with the schemas of SOAP")
    spoilt = ANSWERS[name].replace(old, new)
    assert spoilt != ANSWERS[name]
    with pytest.raises(Exception, match="Element"):
        check_answer(500, spoilt.encode())
