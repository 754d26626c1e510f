"""Composition root and URL map: the one file that knows every room."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from contextlib import closing
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.resources import files as package_files
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug import Response

from webchat_soap.app_agents import (
    AgentCommands,
    agent_commands,
    generate_password,
    make_agent_pages,
    prepare_trial,
)
from webchat_soap.app_console import make_console
from webchat_soap.app_data import (
    AuditProgress,
    check_database,
    check_everything,
    check_files,
    open_stores,
    operators_reason,
    sweep,
)
from webchat_soap.domain.agents import check_agent_name, check_new_password
from webchat_soap.domain.chat import ChatQuota, ChatStatus, Sender
from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.file import FileType
from webchat_soap.domain.links import PUBLIC_PATH
from webchat_soap.domain.ports import ChatStore
from webchat_soap.domain.sweep import SweepableFileStore
from webchat_soap.files.download import Downloader, FetchPolicy
from webchat_soap.files.guard import AddressPolicy, UrlGuard, parse_allow_rules
from webchat_soap.files.intake import FileIntake
from webchat_soap.files.resolve import Lookups
from webchat_soap.files.sniff import content_types, prove
from webchat_soap.files.spool import Spool
from webchat_soap.files.store import open_file_store
from webchat_soap.logs import set_up_logging
from webchat_soap.service import ChatService, ServiceRules, client_token
from webchat_soap.settings import Settings, load_settings
from webchat_soap.soap import compression
from webchat_soap.soap.describe import describe, examples
from webchat_soap.soap.endpoint import SoapEndpoint
from webchat_soap.soap.protocol import WebchatTransport, make_transport
from webchat_soap.stores import open_chat_store
from webchat_soap.web import answers
from webchat_soap.web.agent_pages import AgentPages
from webchat_soap.web.console import API_PATH, Console, Gate
from webchat_soap.web.console_live import MAX_HELD_STREAMS
from webchat_soap.web.health import Health
from webchat_soap.web.pages import ServicePage, installed_readme
from webchat_soap.web.public_files import PublicFiles

__all__ = [
    "MAX_HELD_STREAMS",
    "AgentCommands",
    "Application",
    "AuditProgress",
    "WebchatError",
    "agent_commands",
    "check_agent_name",
    "check_database",
    "check_everything",
    "check_files",
    "check_new_password",
    "create_app",
    "demo_has_ended",
    "generate_password",
    "make_demo",
    "max_long_threads",
    "operators_reason",
    "prepare_trial",
    "set_up_logging",
    "sweep",
    "wsdl_document",
    "wsdl_examples",
]

SERVICE_PATH = "/webchat"

# By when a call answers, and how long a retry waits for the first call. Contract: section 2.
CALL_SECONDS = 45.0
# Room for the call's own work beside a download that the operator gave more time.
CALL_MARGIN_SECONDS = 5.0
# Beside the rooms for files and for waiting (MAX_FETCHES, MAX_WAITING): retries that wait for the first call of their
# token, which the store bounds. A sleeping thread costs 72 KB.
MAX_CLAIMS_WAITING = 64

VERSION = version("webchat-soap")

DEMO_CHAT = "demo"
_DEMO_TEXT = "Welcome! This chat holds a text, a picture, a sound, a video and a document. Send it something."
_DEMO_FILES = (
    ("picture.png", FileType.IMAGE),
    ("sound.mp3", FileType.AUDIO),
    ("video.mp4", FileType.VIDEO),
    ("document.pdf", FileType.DOCUMENT),
)


@cache
def _demo_picture_sha256() -> str:
    return hashlib.sha256(_read_demo_file("picture.png")).hexdigest()


def _read_demo_file(name: str) -> bytes:
    return package_files("webchat_soap").joinpath("demo", name).read_bytes()


# What HTTP allows as a Host and what can stand in a link; anything else could only be meant to poison one.
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?")


@lru_cache(maxsize=1024)
def _is_host(value: str) -> bool:
    found = _HOST.fullmatch(value)
    return found is not None and int(found["port"] or 1) in range(1, 65536)


def _asked_url(environ: WSGIEnvironment) -> str | None:
    """The base URL as this request names it, None when its Host is no host."""
    host = environ.get("HTTP_HOST")
    if host is None:
        host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}" if _is_host(host) else None


class Application:
    """The whole service as one WSGI callable. Threads, database and files are opened by the first call that needs them.

    What it is made of is put together by `create_app`.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        chats: ChatStore,
        files: SweepableFileStore,
        endpoint: SoapEndpoint,
        transport: WebchatTransport,
        agent_pages: AgentPages | None = None,
        console: Console | None = None,
    ) -> None:
        self._settings = settings
        self._console = console
        self._chats = chats
        self._files = files
        self._endpoint = endpoint
        self._transport = transport
        self._health = Health(chats=chats, files=files)
        self._public_files = PublicFiles(chats=chats, files=files)
        self._page = ServicePage(
            description=describe(transport),
            wsdl_at=transport.wsdl_at,
            version=VERSION,
            readme=installed_readme(),
            find_picture=self._find_demo_picture,
        )
        self._bound_base_urls = _bound_base_urls(settings)
        self._agent_pages = agent_pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path: str = environ.get("PATH_INFO", "")
        method: str = environ["REQUEST_METHOD"]
        if path == "/healthz":
            return self._health.healthz(environ)(environ, start_response)
        if path == "/readyz":
            return self._health.readyz(environ)(environ, start_response)
        if path.startswith(PUBLIC_PATH):
            name = path[len(PUBLIC_PATH) :]
            return self._public_files.respond(environ, name)(environ, start_response)
        if self._console is not None and (path == "/agent/" or path.startswith(API_PATH)):
            return self._console.respond(environ, start_response)
        asked_url = _asked_url(environ)
        base_url = self._settings.public_url or asked_url
        if base_url is None:
            return answers.plain(400, "The Host header is missing or is no host name.")(environ, start_response)
        if path in (SERVICE_PATH, SERVICE_PATH + "/"):
            if method == "POST":
                return self._endpoint.respond(
                    environ,
                    start_response,
                    base_url=base_url,
                    own_base_urls=(base_url, *([asked_url] if asked_url else []), *self._bound_base_urls),
                )
            return _packed(environ, self._describe(environ, method, base_url))(environ, start_response)
        if path == "/":
            if method not in ("GET", "HEAD"):
                return answers.method_not_allowed(("GET", "HEAD"))(environ, start_response)
            return answers.to_service_page(base_url)(environ, start_response)
        if path == "/metrics":
            return answers.not_in_this_version("/metrics")(environ, start_response)
        if self._agent_pages is not None and (path == "/agent" or path.startswith("/agent/")):
            return self._agent_pages.respond(environ)(environ, start_response)
        return answers.not_found()(environ, start_response)

    def only_computes(self, environ: WSGIEnvironment) -> bool:
        """Whether a call with this environ neither reads nor waits before it answers, or gives what is to be waited
        for as an iterable that can call back (soap.endpoint.Later)."""
        method: str = environ["REQUEST_METHOD"]
        path: str = environ["PATH_INFO"]
        if method != "POST" or path != SERVICE_PATH:
            return False
        # Files stand in line, so that thousands of them at once do not make texts wait until all have been read.
        body: bytes = environ["wsgi.input"].getvalue()
        return b"UploadFile" not in body and b"fileUrl" not in body

    def wake_all(self) -> None:
        """Let every waiting call answer now: the process is about to stop."""
        if self._console is not None:
            self._console.stop()
        self._chats.wake_all()

    def close(self) -> None:
        """Finish what is under way and let go of the database."""
        self._chats.close()

    def _find_demo_picture(self) -> str | None:
        """The stored name of the demo chat's picture, for the page's sample; None where there is no such chat.

        Only our own bytes: the page must not tell anybody the link to what somebody else put into a chat of that name.
        """
        try:
            page = self._chats.read_messages(DEMO_CHAT, after_sequence=0, max_messages=len(_DEMO_FILES) + 1)
        except WebchatError:
            return None
        files = (file for message in page.messages for file in message.files)
        return next((file.name for file in files if file.sha256 == _demo_picture_sha256()), None)

    def _describe(self, environ: WSGIEnvironment, method: str, base_url: str) -> Response:
        if method not in ("GET", "HEAD"):
            return answers.method_not_allowed(("GET", "HEAD", "POST"))
        query = environ.get("QUERY_STRING", "").lower()
        names = {part.partition("=")[0] for part in query.split("&")}
        # An address that came with the request is right for this caller only.
        caching = "no-store" if self._settings.public_url is None else "public, max-age=300"
        if names & {"wsdl", "singlewsdl"}:
            return _document(self._transport.wsdl_at(f"{base_url}{SERVICE_PATH}"), caching=caching)
        if "xsd" in names:
            return _document(self._transport.schema, caching="public, max-age=300")
        if "readme" in names:
            return self._page.respond_readme(environ)
        if "example" in names:
            asked = {name.lower(): values for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
            return self._page.respond_example(environ, asked.get("example", [""])[0])
        return self._page.respond(environ, base_url=base_url, from_host=self._settings.public_url is None)


def _packed(environ: WSGIEnvironment, response: Response) -> Response:
    """The page, the WSDL or the schema as gzip where the caller takes it: they shrink to an eighth."""
    response.headers.add("Vary", "Accept-Encoding")
    if response.status_code == 200 and compression.takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        response.set_data(compression.pack(response.get_data()))
        response.headers["Content-Encoding"] = "gzip"
    return response


def create_app(settings: Settings | None = None, *, gate: Gate | None = None) -> Application:
    """The service as a WSGI callable. Without settings they are read from webchat.toml and the environment. `gate` is
    another door to the console than the usual one, for tests.

    Nothing is opened and no thread started before the first request, so it may be made before a fork.
    """
    if settings is None:
        settings = load_settings()
    set_up_logging(settings.log)
    chats, files = open_stores(settings)
    service = _make_service(settings, chats, files)
    transport = make_transport(service, max_text_length=settings.max_text)
    endpoint = SoapEndpoint(
        transport=transport,
        max_request_bytes=settings.max_request_bytes,
        call_seconds=max(CALL_SECONDS, settings.fetch_total_seconds + CALL_MARGIN_SECONDS),
        soap12_sender_status=settings.soap12_sender_status,
    )
    agent_pages = make_agent_pages(settings, chats.agents)
    console = make_console(
        settings, gate=gate or agent_pages.door, service=service, chats=chats, files=files, version=VERSION
    )
    return Application(
        settings=settings,
        chats=chats,
        files=files,
        endpoint=endpoint,
        transport=transport,
        agent_pages=agent_pages,
        console=console,
    )


def max_long_threads(settings: Settings) -> int:
    """How many calls of a process hold a thread while they wait for others, at most. Under a server that cannot be
    called back, the GetMessages that wait come on top."""
    return settings.max_fetches + MAX_CLAIMS_WAITING


def make_demo(settings: Settings) -> str | None:
    """Make the demo chat, once: its id when something of it was made now, None when it was whole or has ended.

    The data folder must be held. Raises a WebchatError where a limit or the disk is in the way; a later call goes on.
    """
    chats, files = open_stores(settings)
    with closing(chats):
        chat = chats.find_chat(DEMO_CHAT)
        if chat is not None and chat.status is not ChatStatus.OPEN:
            return None
        service = _make_service(settings, chats, files)
        chats.start_chat(chat_id=DEMO_CHAT, customer_name="Demo", token=None, account=None).result()
        posted = [
            service.post_text(
                chat_id=DEMO_CHAT,
                sender=Sender.AGENT,
                text=_DEMO_TEXT,
                token=client_token(f"chat:{DEMO_CHAT}", f"{DEMO_CHAT}-text", "post_text", _DEMO_TEXT),
            ).result()
        ]
        for name, family in _DEMO_FILES:
            posted.append(
                service.post_stream(
                    chat_id=DEMO_CHAT,
                    sender=Sender.AGENT,
                    text=None,
                    stream=io.BytesIO(_read_demo_file(name)),
                    original_name=name,
                    declared_type=family,
                    token=client_token(f"chat:{DEMO_CHAT}", f"{DEMO_CHAT}-{name}", "post_stream"),
                )
            )
    return DEMO_CHAT if any(not receipt.duplicate for receipt in posted) else None


def demo_has_ended(settings: Settings) -> bool:
    """Whether somebody has ended the demo chat, so that `make_demo` leaves it as it is."""
    chats, _ = open_stores(settings)
    with closing(chats):
        chat = chats.find_chat(DEMO_CHAT)
        return chat is not None and chat.status is not ChatStatus.OPEN


def wsdl_document(base_url: str) -> bytes:
    """The WSDL with this base URL's address, UTF-8."""
    return _describing_transport().wsdl_at(f"{base_url}{SERVICE_PATH}")


def wsdl_examples() -> dict[str, str]:
    """The files of wsdl/examples by name."""
    return examples(_describing_transport())


def _make_service(settings: Settings, chats: ChatStore, files: SweepableFileStore) -> ChatService:
    guard = UrlGuard(
        AddressPolicy(allow=parse_allow_rules(settings.fetch_allow), ports=frozenset(settings.fetch_ports)),
        # As many as fetches: names whose servers are slow must not keep all others from being looked up.
        lookups=Lookups(max_running=settings.max_fetches),
    )
    policy = FetchPolicy(
        connect_seconds=settings.fetch_connect_seconds,
        first_byte_seconds=settings.fetch_first_byte_seconds,
        total_seconds=settings.fetch_total_seconds,
        ca_file=settings.fetch_ca_file,
    )
    downloader = Downloader(guard, policy)
    if settings.fetch_ca_file is not None:
        # A file that cannot be read is to stop the start, not the first upload over https.
        downloader.load_certificates()
    intake = FileIntake(
        guard=guard,
        downloader=downloader,
        spool=Spool(settings.data_dir / "spool"),
        prove=prove,
        content_types=content_types,
        max_file_bytes={
            FileType.IMAGE: settings.max_image_bytes,
            FileType.AUDIO: settings.max_audio_bytes,
            FileType.VIDEO: settings.max_video_bytes,
            FileType.DOCUMENT: settings.max_document_bytes,
        },
        max_fetches=settings.max_fetches,
    )
    rules = ServiceRules(
        open_unknown_chats=settings.unknown_chats == "open",
        max_text_length=settings.max_text,
        quota=ChatQuota(max_files=settings.max_files_per_chat, max_bytes=settings.max_bytes_per_chat),
        max_waiting=settings.max_waiting,
    )
    return ChatService(chats=chats, files=files, intake=intake, rules=rules)


def _describing_transport() -> WebchatTransport:
    """A transport for its documents alone: no operation of it is ever called, so its stores are never opened."""
    settings = Settings()
    chats = open_chat_store(settings.database_url, lock_folder=settings.data_dir)
    files = open_file_store(settings.files_url, folder=settings.data_dir)
    return make_transport(_make_service(settings, chats, files), max_text_length=settings.max_text)


def _document(content: bytes, *, caching: str) -> Response:
    return Response(
        content,
        content_type="text/xml; charset=utf-8",
        headers={"Cache-Control": caching, "X-Content-Type-Options": "nosniff"},
    )


def _bound_base_urls(settings: Settings) -> tuple[str, ...]:
    """The bases that mean this service whatever the request's Host says."""
    bound = settings.bind.url
    urls = [bound, f"http://localhost:{settings.bind.port}"]
    return tuple(urls)
