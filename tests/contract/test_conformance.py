"""Every case of tests/contract/envelopes, sent as raw bytes to the service as an operator starts it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conformance import Case, Peer, read_cases
from tests.e2e.console_script import running

CASES = read_cases()


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """One real server for all cases."""
    given = os.environ.get("WEBCHAT_TEST_DATA")
    with running(tmp_path_factory.mktemp("conformance") / "data") as service:
        yield Peer(service.url, soap_schemas=Path(given) / "schemas" if given else None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(ours: Peer, case: Case) -> None:
    problems = ours.try_case(case)
    assert not problems, f"{case.first('Name')} ({case.first('Clause')}): " + "; ".join(problems)


def test_there_are_enough_cases_of_both_versions_and_no_name_stands_twice() -> None:
    assert len(CASES) >= 220
    versions = Counter(case.version for case in CASES)
    assert min(versions["1.1"], versions["1.2"]) >= 100
    assert not [name for name, times in Counter(case.path.stem for case in CASES).items() if times > 2]
    assert not [case.id for case in CASES if case.valid and case.first("Expect-Fault")]


def test_the_schemas_of_the_envelopes_judge_the_answers_too(ours: Peer) -> None:
    if ours.soap_schemas is None:
        pytest.skip("WEBCHAT_TEST_DATA names no folder with the schemas of the envelopes")
    assert set(ours._envelope_schemas) == {"1.1", "1.2"}
