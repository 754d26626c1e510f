"""Who may import whom (design: the rooms), read from the source of every file, so that nothing needs to be imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "webchat_soap"


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a room may import besides itself and the standard library. `rooms` None means all of them."""

    rooms: frozenset[str] | None = frozenset()
    libraries: frozenset[str] = frozenset()


def room(*rooms: str, libraries: str = "") -> Room:
    return Room(rooms=frozenset(rooms), libraries=frozenset(libraries.split()))


ROOMS = {
    "domain": room(libraries="pydantic"),
    "service": room("domain"),
    "settings": room(),
    "logs": room(),
    "stores": room("domain", libraries="sqlalchemy"),
    "files": room("domain", libraries="requests urllib3 certifi idna magic"),
    "soap": room("domain", "service", libraries="spyne lxml werkzeug"),
    "web": room("domain", "service", libraries="werkzeug jinja2 markupsafe"),
    "access": room("domain", libraries="argon2"),
    "server": room("app", "settings", libraries="granian"),
    "cli": room("app", "settings", "server"),
    "__init__": room(),
    "app": Room(rooms=None, libraries=frozenset({"werkzeug"})),
}
"""A room is a folder or a file of the package; `settings` is settings.py and the two files of its values, `app`
app.py and those that begin with app_, `service` and `cli` the same."""

# Calls that do something wherever they stand; what only makes a value (re.compile, frozenset, Path) is fine at import.
DOING = {
    "open", "print", "input", "exec", "eval", "Thread", "Process", "Timer", "Popen", "run", "fork", "socket",
    "create_engine", "connect", "create_connection", "system", "mkdir", "makedirs", "write_text", "write_bytes",
    "read_text", "read_bytes", "start", "getenv", "load_settings", "basicConfig", "signal", "sleep",
}  # fmt: skip


_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return whole(name)


def whole(name: str) -> str:
    """The room of a file that is one of several."""
    return name.partition("_")[0] if name.startswith(("settings_", "cli_", "app_", "service_")) else name


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[str, int]]:
    """Full dotted names of what a file imports, and the lines, at whatever depth they stand."""
    package = ("webchat_soap", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def refused_imports(path: Path, source: str) -> list[str]:
    """Imports that the file's room may not have, as `file:line: what`."""
    name = room_of(path)
    allowed = ROOMS[name]
    refused = []
    for imported, line in imports(ast.parse(source), path):
        parts = imported.split(".")
        if parts[0] == "webchat_soap":
            other = parts[1] if len(parts) > 1 else "__init__"
            other = whole(other)
            fine = other == name or allowed.rooms is None or other in allowed.rooms
        else:
            # _typeshed is the type checker's view of the standard library; it cannot be imported at run time.
            fine = parts[0] in sys.stdlib_module_names | {"_typeshed"} or parts[0] in allowed.libraries
        if not fine:
            refused.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {name} imports {imported}")
    return refused


def environment_reads(path: Path, source: str) -> list[str]:
    if path == PACKAGE / "settings.py":
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            reads = node.attr in _ENVIRONMENT and isinstance(node.value, ast.Name) and node.value.id in {"os", "posix"}
        else:
            reads = isinstance(node, ast.ImportFrom) and any(alias.name in _ENVIRONMENT for alias in node.names)
        if reads:
            found.append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}: reads the environment")
    return found


def done_at_import(path: Path, source: str) -> list[str]:
    """Calls from DOING that run when the file is imported: outside functions, or as decorators or defaults."""
    found = []
    if path.name == "under_gunicorn.py":  # gunicorn's configuration: to be imported is what it is for
        return found

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            called = node.func
            name = getattr(called, "id", None) or getattr(called, "attr", None)
            if name in DOING:
                found.append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}: calls {name} at import")
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and child in _body(node):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}:
                continue
            look(child)

    look(ast.parse(source))
    return found


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.AST]:
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)


@pytest.mark.parametrize("check", [refused_imports, environment_reads, done_at_import])
def test_every_file_keeps_the_rules_of_its_room(check: Callable[[Path, str], list[str]]) -> None:
    assert [line for path in files() for line in check(path, path.read_text(encoding="utf-8"))] == []


def test_every_file_stands_in_a_known_room() -> None:
    assert {room_of(path) for path in files()} <= ROOMS.keys()


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("domain/chat.py", "import sqlalchemy"),
        ("domain/chat.py", "from webchat_soap import service"),
        ("service.py", "from webchat_soap.stores import sqlite"),
        ("service.py", "import pydantic"),
        ("stores/sqlite.py", "from webchat_soap.files.local import LocalFileStore"),
        ("files/intake.py", "from lxml import etree"),
        ("files/intake.py", "from .. import stores"),
        ("files/intake.py", "from ..stores import sqlite"),
        ("soap/types.py", "import webchat_soap.web.pages"),
        ("web/pages.py", "def page():\n    from spyne import Application"),
        ("server/parent.py", "from webchat_soap.domain import errors"),
        ("cli.py", "from webchat_soap.domain.errors import WebchatError"),
        ("settings.py", "from webchat_soap.domain import errors"),
        ("settings_values.py", "import pydantic"),
    ],
)
def test_the_rules_see_an_import_that_is_not_allowed(file: str, source: str) -> None:
    assert len(refused_imports(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("domain/details.py", "import json\nfrom pydantic import BaseModel\nfrom webchat_soap.domain import file"),
        ("stores/sqlite.py", "import sqlalchemy as sa\nfrom . import schema\nfrom ..domain import chat"),
        ("soap/operations.py", "from webchat_soap.service import ChatService\nfrom lxml import etree"),
        ("app.py", "from webchat_soap.soap import endpoint\nfrom webchat_soap.stores import open_chat_store"),
        ("cli.py", "from webchat_soap import app, server\nfrom webchat_soap.settings_values import NOT_YET"),
    ],
)
def test_the_rules_let_a_room_have_what_is_its_own(file: str, source: str) -> None:
    assert refused_imports(PACKAGE / file, source) == []


@pytest.mark.parametrize(
    "source",
    ["import os\nx = os.environ['A']", "import os\nos.getenv('A')", "from os import environ", "from os import getenv"],
)
def test_the_rules_see_a_look_at_the_environment(source: str) -> None:
    assert len(environment_reads(PACKAGE / "app.py", source)) == 1
    assert environment_reads(PACKAGE / "settings.py", source) == []


def test_a_wsgi_environ_is_not_the_environment() -> None:
    assert environment_reads(PACKAGE / "app.py", "def f(request):\n    return request.environ") == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from threading import Thread\nThread(target=print).start()", 2),
        ("class A:\n    f = open('x')", 1),
        ("def f(x=open('y')):\n    pass", 1),
        ("def f():\n    open('x')", 0),
        ("import re\nP = re.compile('x')", 0),
        ("f = lambda: open('x')", 0),
        ("if __name__ == '__main__':\n    print('x')", 0),
    ],
)
def test_the_rules_see_what_happens_at_import(source: str, count: int) -> None:
    assert len(done_at_import(PACKAGE / "app.py", source)) == count
