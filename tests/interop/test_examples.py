"""The programs in examples/, run as a reader would: their output, and what zeep finds in the chats that they made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.interop.relay import BUSY_SECONDS, relaying
from tests.interop.stacks import MODULES, ROOT, need_java, need_mono, need_node, need_php
from tests.serving import SAMPLES, Service, Soap, wait_until
from webchat_soap.domain.chat import ChatQuota, NewMessage, Sender
from webchat_soap.stores import open_chat_store

EXAMPLES = ROOT / "examples"
PICTURE = SAMPLES / "image" / "picture.png"


def python(folder: Path) -> list[str | Path]:
    return [sys.executable, EXAMPLES / "webchat_client.py"]


def php(folder: Path) -> list[str | Path]:
    need_php()
    return ["php", EXAMPLES / "webchat_client.php"]


def node(folder: Path) -> list[str | Path]:
    need_node()
    # An import is looked up from where the program lies.
    (folder / "node_modules").symlink_to(MODULES)
    return ["node", shutil.copy(EXAMPLES / "webchat_client.mjs", folder)]


def java(folder: Path) -> list[str | Path]:
    need_java()
    return [EXAMPLES / "run-java"]


def csharp(folder: Path) -> list[str | Path]:
    need_mono()
    return [EXAMPLES / "run-csharp"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """An example's output, and its chat and messages as zeep reads them."""

    chat_id: str
    output: str
    page: Any


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples that are compiled keep what they made, for one run of the tests."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(params=[python, php, node, java, csharp], ids=lambda example: example.__name__)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> list[str | Path]:
    command: Callable[[Path], list[str | Path]] = request.param
    return command(tmp_path)


def play(service: Service, command: Sequence[str | Path], build: Path) -> Run:
    """Run the example; once its file is in the chat, an agent answers."""
    soap = Soap(f"{service.address}?wsdl", "WebchatSoap11")
    own = {"PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8", "BUILD": str(build / Path(command[0]).name)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=os.environ | own
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            said = re.match(r"Chat (\S+) is OPEN since ", first)
            assert said is not None, first + "".join(process.communicate(timeout=20))
            chat_id = said[1]

            def has_both() -> bool:
                return process.poll() is not None or bool(soap.GetMessages(CHATID=chat_id).lastSequence == 2)

            wait_until(has_both)
            answer_as_agent(service, chat_id, "İyi günler 🙂")
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, first + output + errors
    return Run(chat_id=chat_id, output=first + output, page=soap.GetMessages(CHATID=chat_id))


def answer_as_agent(service: Service, chat_id: str, text: str) -> None:
    """What the console will do: the message comes from another process's store."""
    store = open_chat_store(f"sqlite:///{service.data}/webchat.db", lock_folder=service.data / "locks")
    try:
        message = NewMessage(
            message_id=str(uuid.uuid4()),
            chat_id=chat_id,
            sender=Sender.AGENT,
            text=text,
            files=(),
            token=None,
            account=None,
        )
        store.append(message, open_unknown=False, quota=ChatQuota(max_files=0, max_bytes=0)).result()
    finally:
        store.close()


def test_an_example_talks_to_an_agent_over_a_network_that_loses_an_answer(
    service: Service, example: list[str | Path], build: Path
) -> None:
    picture = service.host.serve("/picture.png", PICTURE.read_bytes())
    with relaying(service.url) as relay:
        run = play(service, [*example, relay.url, picture], build)
        tries = {len(relay.calls("SendMessage")[:-1]), len(relay.calls("UploadFile"))}
    soap = Soap(f"{service.address}?wsdl", "WebchatSoap11")
    chat = soap.GetLimits(CHATID=run.chat_id)
    assert tries == {2}, "the lost call and the refused one are sent once more, the one that is too late is not"
    assert f"Trying again in {BUSY_SECONDS} s" in run.output

    text, file, answer = run.page.message
    assert (text.text, answer.text) == ("Merhaba! A picture for you:", "İyi günler 🙂")
    assert chat.filesUsed == 1
    (stored,) = file.file
    assert requests.get(stored.fileUrl, timeout=20).content == PICTURE.read_bytes()
    lines = [line for line in run.output.splitlines() if not line.startswith("Trying again")]
    refused = re.fullmatch(r"ChatEnded, field CHATID, request ([0-9a-f]+): (.+\.)", lines.pop())
    assert refused is not None
    assert run.chat_id in refused[2]
    assert lines[1:] == [
        "Text is message 1",
        f"File is message 2: IMAGE of {PICTURE.stat().st_size} bytes, {stored.fileUrl.replace(service.url, relay.url)}",
        "Message 1 of CUSTOMER: Merhaba! A picture for you:, 0 files",
        "Message 2 of CUSTOMER: , 1 files",
        "Message 3 of AGENT: İyi günler 🙂, 0 files",
        f"Chat {run.chat_id} is ENDED with 3 messages",
    ]


def test_an_example_needs_no_file_where_the_demo_chat_has_one(
    service: Service, example: list[str | Path], build: Path
) -> None:
    soap = Soap(f"{service.address}?wsdl", "WebchatSoap12")
    soap.StartChat(CHATID="demo")
    if not soap.GetMessages(CHATID="demo").message:
        soap.SendMessage(CHATID="demo", fileDetails='{"text": "no file"}')
        url = service.host.serve("/picture.png", PICTURE.read_bytes())
        soap.UploadFile(CHATID="demo", fileDetails=f'{{"fileUrl": "{url}"}}')
    run = play(service, [*example, service.url], build)
    chat = soap.EndChat(CHATID=run.chat_id)
    assert run.output.splitlines()[0] == f"Chat {run.chat_id} is OPEN since {chat.startedAt:%Y-%m-%d %H:%M:%S} UTC"
    assert chat.customerName == "Ayşe Yılmaz"
    assert [len(message.file) for message in run.page.message] == [0, 1, 0]
    assert requests.get(run.page.message[1].file[0].fileUrl, timeout=20).content == PICTURE.read_bytes()
    assert "Trying again" not in run.output
