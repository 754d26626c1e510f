"""The command `agent`: who may sign in to the console. Works beside a running service."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from webchat_soap.cli_check import Failure, failures_told
from webchat_soap.settings import Settings

if TYPE_CHECKING:
    from webchat_soap.app import AgentCommands

_MAX_PASSWORD_BYTES = 16_384
"""Read from standard input; a password is at most 1,000 characters long."""


class MakeParser(Protocol):
    """Makes the parser of one of the commands."""

    def __call__(self, name: str, text: str, example: str) -> argparse.ArgumentParser: ...


def add_agent_commands(make: MakeParser) -> None:
    """Make the parsers of all that `agent` can do."""

    def add(name: str, text: str, example: str, *, named: bool = True) -> argparse.ArgumentParser:
        command = make(name, text, example)
        command.set_defaults(agent_command=name)
        if named:
            command.add_argument("agent", metavar="NAME", help="the agent's name, as customers see it")
        return command

    adding = add(
        "add",
        "Make an agent. The password is asked for twice, unless it is read from standard input or generated. Names "
        "have 1 to 100 characters and are unique, whatever their case.",
        'webchat-soap agent add "Ayşe Yılmaz"',
    )
    add(
        "list",
        "Print all agents: name, state, when last seen, open sessions, and since when there is one.",
        "webchat-soap agent list",
        named=False,
    )
    changing = add(
        "password",
        "Give an agent a new password and end all its sessions. It is asked for twice, unless it is read from standard "
        "input or generated.",
        "webchat-soap agent password Ayşe --generate",
    )
    for command in (adding, changing):
        where = command.add_mutually_exclusive_group()
        where.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input, up to a line's end"
        )
        where.add_argument("--generate", action="store_true", help="make up a password and show it, this once")
    add(
        "disable",
        "End all sessions of an agent and let it sign in no more. Its messages stay as they are.",
        "webchat-soap agent disable Ayşe",
    )
    add("enable", "Let a disabled agent sign in again, with the password it had.", "webchat-soap agent enable Ayşe")
    add(
        "sign-out",
        "End all sessions of an agent, on whatever machine. It can sign in again.",
        "webchat-soap agent sign-out Ayşe",
    )


def run_agent_command(arguments: argparse.Namespace, settings: Settings) -> int:
    """Do it; the exit status."""
    from webchat_soap import app

    name, what = getattr(arguments, "agent", ""), arguments.agent_command
    try:
        name = app.check_agent_name(name) if what != "list" else ""
    except app.WebchatError as error:
        arguments.parser.error(str(error))
    with failures_told(settings):
        password = _password(arguments, name) if what in ("add", "password") else ""
        with app.agent_commands(settings, makes_database=what == "add") as agents:
            if what == "list":
                _print_agents(agents, settings)
                return 0
            if what == "add":
                assert agents is not None
                print(f"Made the agent {agents.add(name, password)}.")
            elif agents is None or not _change(agents, what, name, password):
                raise Failure(f"There is no agent {name!r}; `webchat-soap agent list` lists them.")
    if getattr(arguments, "generate", False):
        print(f"Password, shown this once: {password}")
    if what == "add":
        base_url = settings.public_url or settings.bind.url
        print(f"Signs in at {base_url}/agent/")
    return 0


def _change(agents: AgentCommands, what: str, name: str, password: str) -> bool:
    """Whether there is such an agent."""
    if what == "password":
        done = agents.set_password(name, password)
        said = f"Changed the password of {name}; all sessions are ended."
    elif what == "disable":
        done = agents.disable(name)
        said = f"Disabled {name}; all sessions are ended."
    elif what == "enable":
        done = agents.enable(name)
        said = f"Enabled {name}."
    else:
        ended = agents.sign_out(name)
        done = ended is not None
        said = f"Ended {ended} session(s) of {name}."
    if done:
        print(said)
    return done


def _password(arguments: argparse.Namespace, name: str) -> str:
    from webchat_soap import app

    if arguments.generate:
        return app.generate_password()
    if arguments.password_stdin:
        given = sys.stdin.buffer.read(_MAX_PASSWORD_BYTES).partition(b"\n")[0].removesuffix(b"\r")
        try:
            return app.check_new_password(given.decode(), name=name)
        except UnicodeDecodeError:
            raise Failure("The password on standard input is not UTF-8; convert it.") from None
    if not sys.stdin.isatty():
        raise Failure("There is no terminal to ask for the password on; give --password-stdin or --generate.")
    try:
        password = app.check_new_password(getpass.getpass(f"Password for {name}: "), name=name)
        if getpass.getpass("The same again: ") != password:
            raise Failure("The two passwords differ; nothing was changed.")
    except EOFError:
        raise Failure("No password was given; nothing was changed.") from None
    return password


def _print_agents(agents: AgentCommands | None, settings: Settings) -> None:
    found = () if agents is None else agents.list()
    if not found:
        print("There are no agents yet; `webchat-soap agent add NAME` makes one.")
        return
    rows = [("NAME", "STATE", "LAST SEEN", "SESSIONS", "MADE")]
    for agent in found:
        state = "active" if agent.disabled_at is None else "disabled"
        rows.append((agent.name, state, _day(agent.last_seen_at), str(agent.sessions), _day(agent.made_at)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)), row[4]]))


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%MZ")
