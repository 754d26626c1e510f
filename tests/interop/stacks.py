"""The client stacks, and what a machine must have to run each.

One scenario for all: a client gets the arguments

    WSDL        the served WSDL's URL, the only thing that it knows of the service
    PREFIX      its chats are PREFIX-1.1 and PREFIX-1.2, by the SOAP version it speaks; PREFIX stays unknown
    LISTS       a chat that the test made, to be read alone
    FILE        the URL of a picture
    LARGE       the URL of a file beyond the limit
    MISSING     a URL that answers 404

calls every operation over both versions, and gives what it read: `{"1.1": {STEP: VALUE}, "1.2": …}`. Values stand as
the stack reads them (a number is a JSON number only where the stack made a number of it); a time of the language's own
is `{"time": ISO}`, an enumeration of its own `{"enumeration": NAME}`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.interop import zeep_client

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# `tests/interop/install` puts npm's soap there.
MODULES = Path(os.environ.get("WEBCHAT_TEST_NODE_MODULES", ROOT / "build" / "interop" / "node_modules"))
JAXWS = Path("/usr/share/java/jaxws-rt.jar")


def run(command: Sequence[str | Path], *, seconds: float = 60, env: Mapping[str, str] | None = None) -> str:
    """What the command prints; it must end well."""
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=seconds, env=os.environ | (env or {}), check=False
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stderr}\n{done.stdout}"
    return done.stdout


def need_php() -> None:
    """Skip where PHP or its soap extension is not installed."""
    if shutil.which("php") is None or "soap" not in run(["php", "-m"]).split():
        pytest.skip("PHP with its soap extension is not installed; run tests/interop/install")


def need_node() -> None:
    """Skip where node or npm's soap is not installed."""
    if shutil.which("node") is None or not (MODULES / "soap").is_dir():
        pytest.skip("node with npm's soap is not installed; run tests/interop/install")


def need_java() -> None:
    """Skip where the JAX-WS RI or a compiler for Java is not installed."""
    if shutil.which("javac") is None or shutil.which("wsimport") is None or not JAXWS.exists():
        pytest.skip("a JDK with the JAX-WS RI is not installed; run tests/interop/install")


def need_mono() -> None:
    """Skip where Mono's wsdl or mcs is not installed."""
    if any(shutil.which(program) is None for program in ("mono", "mcs", "wsdl")):
        pytest.skip("Mono with mcs and wsdl is not installed; run tests/interop/install")


class Stack(Protocol):
    """One way to call the service. `typed_faults`: the stack reads a fault's numbers as numbers, not as text."""

    name: str
    typed_faults: bool
    enumerations: bool
    """Enumerations are types of the language, not strings."""

    def play(self, folder: Path, wsdl: str, *arguments: str) -> dict[str, Any]:
        """Run the scenario; `folder` is empty and the stack's own. Skips where the stack is not installed."""


class Zeep:
    name = "zeep"
    typed_faults = True
    enumerations = False

    def play(self, folder: Path, wsdl: str, *arguments: str) -> dict[str, Any]:
        prefix, lists, file, large, missing = arguments
        return zeep_client.play(wsdl, prefix, lists, file, large, missing)


class Php:
    name = "PHP SoapClient"
    typed_faults = False
    enumerations = False

    def play(self, folder: Path, wsdl: str, *arguments: str) -> dict[str, Any]:
        need_php()
        return dict(json.loads(run(["php", HERE / "client.php", wsdl, *arguments])))


class Node:
    name = "npm soap"
    typed_faults = False
    enumerations = False

    def play(self, folder: Path, wsdl: str, *arguments: str) -> dict[str, Any]:
        need_node()
        output = run(["node", HERE / "client.mjs", wsdl, *arguments], env={"INTEROP_MODULES": str(MODULES)})
        return dict(json.loads(output))


class Java:
    """Classes made by wsimport and compiled when the test runs."""

    name = "JAX-WS RI"
    typed_faults = True
    enumerations = True

    def play(self, folder: Path, wsdl: str, *arguments: str) -> dict[str, Any]:
        need_java()
        # -extension: without it wsimport leaves SOAP 1.2 ports out.
        run(["wsimport", "-quiet", "-extension", "-Xnocompile", "-p", "webchat", "-s", folder, "-d", folder, wsdl])
        sources = sorted((folder / "webchat").glob("*.java"))
        run(["javac", "-encoding", "UTF-8", "-cp", JAXWS, "-d", folder, *sources, HERE / "Client.java"])
        return dict(json.loads(run(["java", "-cp", f"{folder}:{JAXWS}", "Client", wsdl, *arguments])))


STACKS: tuple[Stack, ...] = (Zeep(), Php(), Node(), Java())
