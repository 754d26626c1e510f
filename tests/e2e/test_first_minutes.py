"""What a stranger pastes in the first ten minutes: the README's samples and what `serve --demo` prints."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.console_script import Running, running
from tests.readme_samples import samples
from tests.serving import Soap


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("demo") / "data", flags=("--demo",)) as service:
        yield service


def test_the_first_sample_of_the_readme(demo: Running, capsys: pytest.CaptureFixture[str]) -> None:
    samples()["first"].at(demo.url).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 CUSTOMER Merhaba! []"
    assert re.fullmatch(rf"2 CUSTOMER None \['{demo.url}/public_files/[0-9]{{8}}-[0-9a-f-]{{36}}\.png'\]", lines[1])


def test_the_fault_sample_of_the_readme(demo: Running, capsys: pytest.CaptureFixture[str]) -> None:
    samples()["faults"].at(demo.url).run()
    assert capsys.readouterr().out.startswith("InvalidJson 1 10 False ")


def test_the_curl_call_of_the_readme(demo: Running) -> None:
    run = subprocess.run(
        ["bash", "-c", samples()["curl"].at(demo.url).text], capture_output=True, text=True, timeout=30
    )
    assert "<GetMessagesResult>" in run.stdout, run.stderr
    assert "Welcome!" in run.stdout


def test_the_calls_that_serve_prints_work_as_pasted(demo: Running) -> None:
    printed = demo.log.read_text()
    assert f"{demo.url}/webchat?wsdl" in printed
    zeep_call = re.search(r"^\S+ - <<'END'\n.*?^END$", printed, re.M | re.S)
    curl_call = re.search(r"^curl .*$", printed, re.M)
    assert zeep_call is not None
    assert curl_call is not None
    for pasted, answer in ((zeep_call[0], "'Hello from zeep'"), (curl_call[0], "Welcome!")):
        run = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        assert answer in run.stdout


def test_the_demo_chat_holds_a_text_and_one_file_of_each_family(demo: Running) -> None:
    page = Soap(f"{demo.url}/webchat?wsdl", "WebchatSoap12").GetMessages(CHATID="demo")
    assert page.status == "OPEN"
    assert page.message[0].text.startswith("Welcome!")
    files = [stored for message in page.message for stored in message.file]
    assert [stored.fileType for stored in files] == ["IMAGE", "AUDIO", "VIDEO", "DOCUMENT"]
    assert {message.sender for message in page.message[:5]} == {"AGENT"}
    for stored in files:
        answer = requests.get(stored.fileUrl, timeout=10)
        assert (answer.status_code, len(answer.content)) == (200, stored.size)


def test_the_printed_calls_work_also_when_somebody_has_ended_the_demo_and_without_one(tmp_path: Path) -> None:
    for flags in (("--demo",), ()):
        with running(tmp_path / f"data{len(flags)}", flags=flags) as service:
            if flags:
                Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").EndChat(CHATID="demo")
            zeep_call = re.search(r"^\S+ - <<'END'\n.*?^END$", service.log.read_text(), re.M | re.S)
            curl_call = re.search(r"^curl .*$", service.log.read_text(), re.M)
            assert zeep_call is not None
            assert curl_call is not None
            for pasted in (zeep_call[0], curl_call[0]):
                run = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, timeout=60)
                assert run.returncode == 0, run.stderr
                assert "Fault" not in run.stdout
    with running(tmp_path / "data1", flags=("--demo",)) as service:
        assert "The chat demo is there already, and has ended" in service.log.read_text()


def test_a_demo_that_limits_do_not_let_be_whole_is_a_warning_and_the_service_serves(tmp_path: Path) -> None:
    with running(tmp_path / "data", flags=("--demo",), MAX_FILES_PER_CHAT="2") as service:
        assert "Warning: the chat demo could not be made: " in service.log.read_text()
        page = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").GetMessages(CHATID="demo")
        assert page.lastSequence == 3


def test_the_demo_chat_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        with running(tmp_path / "data", flags=("--demo",)) as service:
            assert Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").GetMessages(CHATID="demo").lastSequence == 5
