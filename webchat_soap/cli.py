"""The command line: `webchat-soap serve | wsdl | demo | account | agent | chats | check`. Contract: section 9.

Exit status: 0 fine, 1 failure, 2 wrong use. What a command needs is imported when it runs, so that `--help` and a
mistake in the settings are told at once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from webchat_soap.cli_agent import add_agent_commands, run_agent_command
from webchat_soap.cli_check import Failure, check_deep, check_start, failures_told
from webchat_soap.settings import EffectiveSetting, Settings, SettingsError, explain_settings, settings_table
from webchat_soap.settings_addresses import BaseUrl
from webchat_soap.settings_values import NOT_YET

DEMO_CHAT_ID = "demo"

_LATER = {
    "account": "accounts of integrations (add, list, remove)",
    "chats": "chats as the operator sees them (list, export, delete)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; argparse itself exits with 2 on wrong use."""
    _open_missing_streams()
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        # Told by the command's own parser, whose usage names the flags that there are.
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        status = command(arguments)
        sys.stdout.flush()
    except SettingsError as error:
        print(f"webchat-soap: {error}", file=sys.stderr)
        # A mistake on the command line is wrong use; one in the file or the environment is a failure.
        return 2 if any(mistake.source == "flag" for mistake in error.mistakes) else 1
    except Failure as error:
        print(f"webchat-soap: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; what Python still holds would only raise again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _open_missing_streams() -> None:
    """Give what was closed by whoever started us an end: a daemon has no terminal, and Python has None for it then.

    Else the database or a connection would get the number, and whatever writes to number 1 or 2 would write there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def ready_message(settings: Settings, *, demo: bool, trial: str | None = None) -> str:
    """What `serve` prints once it answers: the addresses, and two calls that work as pasted; `demo` when there is the
    chat demo to read, `trial` the link to try the agents' console."""
    base_url = settings.bind.url
    lines = [
        f"webchat-soap is ready on {base_url} (Ctrl-C stops it)",
        "",
        f"  WSDL         {base_url}/webchat?wsdl",
        f"  for people   {base_url}/webchat",
        f"  for agents   {base_url}/agent/",
        f"  data folder  {settings.data_dir}",
    ]
    if settings.public_url is not None:
        lines.append(f"  public URL   {settings.public_url}/webchat (through your proxy)")
    lines += ["", "Open a chat and send a text with zeep:", "", *zeep_call(base_url), ""]
    other = f"or read the chat {DEMO_CHAT_ID} with curl:" if demo else "or open one with curl:"
    lines += [other, "", curl_call(base_url, demo=demo), ""]
    if trial is not None:
        lines += [
            "Try the agents' console. For trying only: the link works once, within 15 minutes, on this machine:",
            "",
            f"  {trial}",
            "",
            "A real agent is made with this, which ends the trial:",
            "",
            f"  {_script()} agent add NAME",
            "",
        ]
    return "\n".join(lines)


def zeep_call(base_url: str) -> list[str]:
    """Lines for a shell that open a chat of their own, send a text and read it back."""
    install = [] if importlib.util.find_spec("zeep") else ["pip install zeep"]
    return [
        *install,
        f"{shlex.quote(_python())} - <<'END'",
        "from zeep import Client",
        f'webchat = Client("{base_url}/webchat?wsdl").service',
        'chat = webchat.StartChat(customerName="Zeep")',
        'webchat.SendMessage(CHATID=chat.CHATID, fileDetails=\'{"text": "Hello from zeep"}\')',
        "print(webchat.GetMessages(CHATID=chat.CHATID))",
        "END",
    ]


def curl_call(base_url: str, *, demo: bool = True) -> str:
    """One line for a shell, in SOAP 1.1: reads the chat demo, ended or not, or opens a chat where there is no demo."""
    if demo:
        call = f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{DEMO_CHAT_ID}</CHATID></GetMessages>'
    else:
        call = '<StartChat xmlns="urn:webchat:v1"><customerName>Curl</customerName></StartChat>'
    envelope = f'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>{call}</Body></Envelope>'
    return f"curl -sS -H 'Content-Type: text/xml; charset=utf-8' -d '{envelope}' {base_url}/webchat"


def _stop_in_order(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _serve(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    # What the parent promises while it serves holds while it starts, too: a start may wait for the workers of a killed
    # one, or tidy up for a second. It may be cut off anywhere, and the parent brings handlers of its own.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop_in_order)
    from webchat_soap import app, server

    # Here, before the fork, so that the parent's lines look like the workers'.
    app.set_up_logging(settings.log)
    trial: str | None = None

    def before_workers() -> None:
        nonlocal trial
        report = app.sweep(settings)
        if report.set_aside:
            print(
                f"Put {report.set_aside} file(s) that no message names aside, nothing was deleted: they are of calls "
                "that a crash cut short, or newer than the database if you restored one (README: Data and backup).",
                flush=True,
            )
        if report.brought_back:
            print(f"Brought {report.brought_back} file(s) back that had been put aside.", flush=True)
        if arguments.demo:
            try:
                _make_demo(settings)
            except app.WebchatError as error:
                reason = app.operators_reason(error, settings)
                print(f"Warning: the chat {DEMO_CHAT_ID} could not be made: {reason}", file=sys.stderr)
        try:
            trial = app.prepare_trial(settings, offer=arguments.demo)
        except app.WebchatError as error:
            print(f"Warning: no trial of the console: {app.operators_reason(error, settings)}", file=sys.stderr)

    options = server.ServeOptions(
        host=settings.bind.host,
        port=settings.bind.port,
        workers=settings.workers or 1,
        data_dir=settings.data_dir,
        application_factory="webchat_soap.app:create_app",
        settings=settings,
        max_request_bytes=settings.max_request_bytes,
        request_seconds=settings.request_seconds,
        shutdown_seconds=settings.shutdown_seconds,
        limits=server.Limits(max_long_threads=app.max_long_threads(settings)),
        ready_message=lambda: ready_message(settings, demo=arguments.demo, trial=trial),
        before_workers=before_workers,
    )
    with failures_told(settings):
        return server.serve(options)


def _wsdl(arguments: argparse.Namespace) -> int:
    if arguments.url is None:
        settings, _ = _settings(arguments)
        base_url = settings.public_url or settings.bind.url
    else:
        base_url = arguments.url
    from webchat_soap import app

    sys.stdout.buffer.write(app.wsdl_document(base_url))
    if arguments.examples is not None:
        with failures_told():
            arguments.examples.mkdir(parents=True, exist_ok=True)
            for name, text in app.wsdl_examples().items():
                (arguments.examples / name).write_text(text, encoding="utf-8")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    from webchat_soap import app, server

    with failures_told(settings), server.hold_data_folder(settings.data_dir):
        app.check_database(settings)
        _make_demo(settings)
    return 0


def _make_demo(settings: Settings) -> None:
    from webchat_soap import app

    if app.make_demo(settings) is not None:
        said = f"Made the chat {DEMO_CHAT_ID}."
    elif app.demo_has_ended(settings):
        said = f"The chat {DEMO_CHAT_ID} is there already, and has ended: it can be read, but takes nothing more."
    else:
        said = f"The chat {DEMO_CHAT_ID} is there already."
    print(said, flush=True)


def _check(arguments: argparse.Namespace) -> int:
    settings, effective = _settings(arguments)
    return check_deep(settings) if arguments.deep else check_start(settings, effective)


def _agent(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    return run_agent_command(arguments, settings)


def _not_yet(arguments: argparse.Namespace) -> int:
    raise Failure(f"`{arguments.name}` is {NOT_YET}.")


def _settings(arguments: argparse.Namespace) -> tuple[Settings, tuple[EffectiveSetting, ...]]:
    flags = {row.key: value for row in settings_table() if (value := getattr(arguments, row.key, None)) is not None}
    return explain_settings(toml_path=arguments.config, flags=flags)


def _python() -> str:
    """The running Python as one would type it here."""
    try:
        return str(Path(sys.executable).relative_to(Path.cwd()))
    except ValueError:
        return sys.executable


def _script() -> str:
    """This command as one would type it here."""
    script = Path(sys.argv[0])
    try:
        return shlex.quote(str(script.absolute().relative_to(Path.cwd())))
    except ValueError:
        return "webchat-soap"


def _parser() -> argparse.ArgumentParser:
    parser = _described(
        argparse.ArgumentParser,
        prog="webchat-soap",
        description="A SOAP service for webchat with file attachments: chats, texts and files over SOAP 1.1 and 1.2.",
        epilog="`webchat-soap COMMAND --help` tells more. Exit status: 0 fine, 1 failure, 2 wrong use.",
    )
    version = importlib.metadata.version("webchat-soap")
    parser.add_argument("--version", action="version", version=f"webchat-soap {version}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str,
        run: Callable[[argparse.Namespace], int],
        text: str,
        example: str,
        among: argparse._SubParsersAction[argparse.ArgumentParser] = commands,
    ) -> argparse.ArgumentParser:
        short = text.partition(". ")[0].removesuffix(".")
        command = _described(among.add_parser, name, help=short, description=text, epilog=f"example:\n  {example}")
        command.set_defaults(command=run, name=name, parser=command)
        return command

    serve = add(
        "serve",
        _serve,
        "Serve until SIGTERM or Ctrl-C. One service per data folder. What a crash left unfinished is cleared away "
        "first; calls under way may finish when it stops. Settings come from webchat.toml, then the environment, then "
        "the flags; the later wins.",
        "webchat-soap serve --demo --bind 127.0.0.1:9000 --max-video 200MiB",
    )
    serve.add_argument(
        "--demo", action="store_true", help="make the chat demo first, with a text and a file of each kind"
    )
    _add_settings(serve)
    wsdl = add(
        "wsdl",
        _wsdl,
        "Print the WSDL. Its address is BASE/webchat; BASE is WEBCHAT_PUBLIC_URL, or the bound address, unless given.",
        "webchat-soap wsdl --url https://chat.example.com > webchat.wsdl",
    )
    wsdl.add_argument("--url", metavar="BASE", type=_base_url, help=_escaped(f"base URL: {BaseUrl().allowed}"))
    wsdl.add_argument(
        "--examples", metavar="FOLDER", type=Path, help="also write sample messages of every operation into this folder"
    )
    _add_config(wsdl)
    demo = add(
        "demo",
        _demo,
        "Make the open chat demo, once. It holds a text, a picture, a sound, a video and a document. "
        "No service may run on the data folder meanwhile.",
        "webchat-soap demo --data-dir ./webchat-data",
    )
    _add_settings(demo)
    agent = add(
        "agent",
        _agent,
        "Say who may sign in to the agents' console. Works while the service runs: what is changed holds at once.",
        "webchat-soap agent add Ayşe --generate",
    )
    of_agent = agent.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add_for_agents(name: str, text: str, example: str) -> argparse.ArgumentParser:
        command = add(name, _agent, text, example, of_agent)
        _add_config(command)
        _add_settings_of(command, "data_dir", "database_url")
        return command

    add_agent_commands(add_for_agents)
    for name, what in _LATER.items():
        later = add(name, _not_yet, f"Manage {what}: {NOT_YET}.", f"webchat-soap {name} list")
        later.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    check = add(
        "check",
        _check,
        "Tell whether `serve` would start with the same settings. Prints each setting with its value and where it came "
        "from (default, file, environment, flag), and tests folder, database and port; makes nothing. A service that "
        "runs on the same folder or port makes it fail. With --deep it looks at everything that is kept instead, also "
        "beside a running service, and prints a line for each thing that is wrong.",
        "WEBCHAT_DATA_DIR=/srv/webchat webchat-soap check --deep",
    )
    check.add_argument(
        "--deep",
        action="store_true",
        help="read every file and compare size and sha256 with its row, find missing and unreferenced files, check the "
        "database; changes nothing",
    )
    _add_settings(check)
    return parser


def _described(make: Callable[..., argparse.ArgumentParser], *names: str, **options: str) -> argparse.ArgumentParser:
    # Abbreviated flags would change their meaning with every new setting.
    return make(*names, allow_abbrev=False, formatter_class=_HelpFormatter, **options)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of epilogs, wraps descriptions."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings' file (default: webchat.toml in the working folder)"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every row of the table."""
    _add_config(parser)
    _add_settings_of(parser, *(row.key for row in settings_table()))


def _add_settings_of(parser: argparse.ArgumentParser, *keys: str) -> None:
    group = parser.add_argument_group("settings")
    for row in (row for row in settings_table() if row.key in keys):
        default = f"default {row.default}; " if row.default else ""
        text = _escaped(f"{row.sentence} Allowed: {row.kind.allowed}. ({default}{row.variable})")
        if row.is_switch:
            group.add_argument(row.flag, dest=row.key, action="store_const", const="true", help=text)
        else:
            group.add_argument(
                row.flag, dest=row.key, metavar=row.kind.unit.upper().replace(" ", "_") or "VALUE", help=text
            )


def _base_url(text: str) -> str | None:
    try:
        return BaseUrl().parse(text.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it {error}") from None


def _escaped(text: str) -> str:
    """argparse fills `%` in help texts."""
    return text.replace("%", "%%")
