"""The command line itself: help, wrong use, and what `serve` prints to paste. Nothing here starts a service."""

from __future__ import annotations

import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from webchat_soap.cli import curl_call, main, ready_message, zeep_call
from webchat_soap.settings import Settings, load_settings, settings_table

COMMANDS = ["serve", "wsdl", "demo", "account", "agent", "chats", "check"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def exit_of(*arguments: str) -> int:
    """The exit status, whether argparse or the command gave it."""
    try:
        return main(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(command, "--help") == 0
    shown = capsys.readouterr().out
    assert f"usage: webchat-soap {command}" in shown
    assert "\nexample:\n" in shown


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {command} " in shown for command in COMMANDS)


def test_serve_has_a_flag_for_every_setting_which_tells_sentence_bounds_and_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_of("serve", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    for row in settings_table():
        assert f" {row.flag} " in shown
        assert f"{row.sentence} Allowed: {row.kind.allowed}." in shown
        assert (f"(default {row.default}; {row.variable})" if row.default else f"({row.variable})") in shown


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("serve", "--max"),
        ("serve", "--max-imag", "1"),
        ("serve", "extra"),
        ("serve", "--bind"),
        ("wsdl", "--url", "chat.example.com"),
        ("check", "--nonsense"),
    ],
)
def test_wrong_use_ends_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(*arguments) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("serve", "--nope"), ("check", "extra"), ("wsdl", "--bind=x")])
def test_what_a_command_does_not_know_is_told_with_its_own_usage(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(*arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"usage: webchat-soap {arguments[0]} [-h]")
    assert told.endswith(f"webchat-soap {arguments[0]}: error: unrecognized arguments: {arguments[1]}\n")


def test_a_mistake_in_a_flag_is_wrong_use_and_one_in_the_environment_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of("serve", "--max-image", "10MB") == 2
    assert "--max-image = '10MB' is not a size" in capsys.readouterr().err
    monkeypatch.setenv("WEBCHAT_MAX_IMAGE", "10MB")
    monkeypatch.setenv("WEBCHAT_LOGG", "json")
    assert exit_of("check") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2 settings are wrong" in shown.err
    assert "did you mean WEBCHAT_LOG?" in shown.err


@pytest.mark.parametrize("command", ["account", "chats"])
def test_commands_of_later_versions_say_so_whatever_they_are_asked(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ((), ("list",), ("add", "shop", "--role", "x")):
        assert exit_of(command, *arguments) == 1
        assert "not in this version yet" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["--open", "--scanner=clamd://h", "--database-url=postgresql://u:hunter2@h/d"])
def test_settings_of_later_versions_are_refused_by_serve(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of("serve", setting) == 2
    told = capsys.readouterr().err
    assert "not in this version yet" in told
    assert "hunter2" not in told


def test_the_ready_message_names_address_wsdl_and_data_folder(tmp_path: Path) -> None:
    shown = ready_message(load_settings(environ={"WEBCHAT_BIND": "[::1]:9000"}), demo=False)
    assert "ready on http://[::1]:9000 " in shown
    assert "http://[::1]:9000/webchat?wsdl\n" in shown
    assert str(tmp_path / "webchat-data") in shown
    assert "through your proxy" not in shown
    assert "demo" not in shown
    behind = ready_message(Settings(public_url="https://chat.example.com/support"), demo=True)
    assert "https://chat.example.com/support/webchat (through your proxy)" in behind


def test_the_curl_call_carries_a_whole_soap_message() -> None:
    command = shlex.split(curl_call("http://127.0.0.1:8000"))
    assert command[0] == "curl"
    assert command[-1] == "http://127.0.0.1:8000/webchat"
    envelope = ElementTree.fromstring(command[command.index("-d") + 1])
    soap, webchat = "{http://schemas.xmlsoap.org/soap/envelope/}", "{urn:webchat:v1}"
    assert envelope.findtext(f"{soap}Body/{webchat}GetMessages/{webchat}CHATID") == "demo"


def test_the_zeep_call_is_a_shell_command_whose_python_compiles() -> None:
    call = zeep_call("http://127.0.0.1:8000")
    start = next(number for number, line in enumerate(call) if line.endswith("<<'END'"))
    assert call[-1] == "END"
    code = "\n".join(call[start + 1 : -1])
    compile(code, "zeep call", "exec")
    assert 'Client("http://127.0.0.1:8000/webchat?wsdl")' in code


def test_the_installed_command_runs_this_code() -> None:
    command = Path(sys.executable).with_name("webchat-soap")
    done = subprocess.run([command, "account"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "webchat-soap: `account` is not in this version yet.\n"
