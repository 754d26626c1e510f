"""What the README repeats of the code is what the code says."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.readme_samples import README, blocks, samples
from webchat_soap.cli import curl_call
from webchat_soap.domain import errors
from webchat_soap.settings import load_settings, settings_markdown

TEXT = README.read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text under a heading, up to the next one of its level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert match is not None, f"no section {title}"
    return match[1]


def first_column(markdown: str) -> list[str]:
    """The words in backquotes of every table row's first cell."""
    cells = [line.split("|")[1] for line in markdown.splitlines() if line.startswith("| `")]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert settings_markdown() in section("Settings"), "print it with: make settings"


def test_the_table_of_faults_names_every_code_once() -> None:
    leaves = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.SenderError | errors.ReceiverError)
    } - {"SenderError", "ReceiverError"}
    told = first_column(section("Faults"))
    assert sorted(told) == sorted(leaves)


def test_the_table_of_operations_holds_those_of_the_contract() -> None:
    assert first_column(section("Operations")) == [
        "StartChat",
        "SendMessage",
        "UploadFile",
        "GetMessages",
        "EndChat",
        "GetLimits",
    ]


def test_every_python_sample_is_marked_to_be_run_and_compiles() -> None:
    python = [block for block in blocks() if block.language == "python"]
    assert python
    assert [block.line for block in python if block.name is None] == []
    for block in python:
        compile(block.text, block.name or "", "exec")


def test_sample_names_are_unique() -> None:
    assert len(samples()) == sum(block.name is not None for block in blocks())


def test_the_curl_sample_is_the_one_that_serve_prints() -> None:
    assert samples()["curl"].text.strip() == curl_call("http://127.0.0.1:8000")


def test_every_json_sample_is_json() -> None:
    lines = [line for block in blocks() if block.language == "json" for line in block.text.splitlines() if line]
    assert lines
    for line in lines:
        json.loads(line)


def test_every_toml_sample_is_taken_as_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    toml = [block for block in blocks() if block.language == "toml"]
    assert toml
    for block in toml:
        assert tomllib.loads(block.text)
        (tmp_path / "webchat.toml").write_text(block.text)
        load_settings(environ={})


def test_links_into_the_repository_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)
    assert [target for target in targets if not (README.parent / target).exists()] == []


def test_a_sample_is_found_with_its_name_language_and_line() -> None:
    text = "# Title\n\n<!-- sample: one -->\n```python\nx = 1\n```\n\n```sh\nmake\n```\n"
    one, other = blocks(text)
    assert (one.name, one.language, one.text, one.line) == ("one", "python", "x = 1\n", 5)
    assert (other.name, other.language) == (None, "sh")
    assert one.run()["x"] == 1
    with pytest.raises(AssertionError):
        other.run()
