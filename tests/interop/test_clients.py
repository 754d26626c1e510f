"""Other stacks than zeep, each from the committed WSDL alone: one text, one typed fault, over both SOAP versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Service, Soap

HERE = Path(__file__).parent
WSDL = HERE.parents[1] / "wsdl" / "webchat.wsdl"
# `tests/interop/install` puts npm's soap there.
MODULES = Path(os.environ.get("WEBCHAT_TEST_NODE_MODULES", HERE.parents[1] / "build" / "interop" / "node_modules"))


def node() -> list[str]:
    if shutil.which("node") is None or not (MODULES / "soap").is_dir():
        pytest.skip("node with npm's soap is not installed; run tests/interop/install")
    return ["node", str(HERE / "client.mjs")]


def php() -> list[str]:
    if (
        shutil.which("php") is None
        or "soap" not in subprocess.run(["php", "-m"], capture_output=True, text=True).stdout
    ):
        pytest.skip("PHP with its soap extension is not installed; run tests/interop/install")
    return ["php", str(HERE / "client.php")]


@pytest.mark.parametrize("client", [node, php], ids=["npm soap", "PHP SoapClient"])
def test_a_client_sends_a_text_and_reads_a_typed_fault(service: Service, client: Callable[[], list[str]]) -> None:
    command = client()
    chat_id, ended = f"interop-{uuid.uuid4()}", f"ended-{uuid.uuid4()}"
    soap = Soap(f"{service.address}?wsdl", "WebchatSoap11")
    soap.StartChat(CHATID=ended)
    soap.EndChat(CHATID=ended)
    run = subprocess.run(
        [*command, str(WSDL), service.address, chat_id, ended],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"INTEROP_MODULES": str(MODULES)},
    )
    assert run.returncode == 0, run.stderr + run.stdout
    found: dict[str, Any] = json.loads(run.stdout)
    name = "node" if "node" in command[0] else "php"
    page = soap.GetMessages(CHATID=chat_id)
    assert [message.text for message in page.message] == [f"{name} 1.1 ş", f"{name} 1.2 ş"]
    for sequence, version in enumerate(("1.1", "1.2"), start=1):
        result = found[version]
        assert result["receipt"]["CHATID"] == chat_id
        assert int(result["receipt"]["sequence"]) == sequence
        assert result["receipt"]["duplicate"] is False
        assert result["last"]["text"] == f"{name} {version} ş"
        assert result["fault"]["code"] == "ChatEnded"
        assert str(result["fault"]["retryable"]).lower() == "false"
        assert result["fault"]["field"] == "CHATID"
