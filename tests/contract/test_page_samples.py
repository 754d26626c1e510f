"""What the human page tells people to paste works when it is pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from lxml import etree, html

from tests.serving import SAMPLES, Service, Soap, serving
from webchat_soap.app import make_demo
from webchat_soap.settings import load_settings
from webchat_soap.web.snippets import SNIPPETS

ORDER = ("StartChat", "SendMessage", "UploadFile", "GetMessages", "GetLimits", "EndChat")
PICTURE = SAMPLES / "image" / "picture.png"
MEDIA_TYPES = {"1.1": "text/xml; charset=utf-8", "1.2": "application/soap+xml; charset=utf-8"}
MODULES = Path(
    os.environ.get("WEBCHAT_TEST_NODE_MODULES", Path(__file__).parents[2] / "build" / "interop" / "node_modules")
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the demo chat, as `make run` has it."""
    data = tmp_path_factory.mktemp("demo")
    make_demo(load_settings(environ={"WEBCHAT_DATA_DIR": str(data)}, toml_path=None))
    with serving(data) as service:
        yield service


def read_page(service: Service) -> Any:
    return html.fromstring(requests.get(service.address, timeout=10).content.decode())


def shown(page: Any, label: str) -> str:
    (pre,) = page.xpath("//pre[@aria-label=$label]", label=label)
    return str(pre.text_content())


def post(service: Service, sample: str, version: str) -> Any:
    """The child of the answer's Body."""
    answer = service.post(sample, Content_Type=MEDIA_TYPES[version])
    assert answer.status_code == 200, answer.text
    return etree.fromstring(answer.content).find("{*}Body")[0]


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_every_request_of_the_page_works_in_the_order_it_says(demo: Service, version: str) -> None:
    schema = etree.XMLSchema(etree.fromstring(requests.get(f"{demo.address}?xsd=1", timeout=10).content))
    page = read_page(demo)
    operations = [article.get("id") for article in page.xpath("//section[@id='operations']/article")]
    assert sorted(operations) == sorted(ORDER)
    answers = {}
    for operation in ORDER:
        answers[operation] = post(demo, shown(page, f"{operation} request, SOAP {version}"), version)
        schema.assertValid(answers[operation])
        assert etree.QName(answers[operation]).localname == f"{operation}Response"
    messages = answers["GetMessages"].findall(".//{*}message")
    assert [message.findtext("{*}text") for message in messages] == ["test message", None]
    assert messages[1].findtext("{*}file/{*}contentType") == "image/png"
    assert answers["EndChat"].findtext(".//{*}status") == "ENDED"


def test_a_new_view_works_after_the_chat_of_an_older_one_has_ended(demo: Service) -> None:
    for _view in range(2):
        page = read_page(demo)
        for operation in ("StartChat", "EndChat"):
            post(demo, shown(page, f"{operation} request, SOAP 1.1"), "1.1")


def test_the_requests_have_one_chat_that_the_page_names(demo: Service) -> None:
    views = [read_page(demo), read_page(demo)]
    named = [
        view.xpath("string(//h3[@id='samples']/following-sibling::p[1]/code[starts-with(., 'try-')])") for view in views
    ]
    assert named[0] != named[1]
    for view, chat_id in zip(views, named, strict=True):
        for operation in ORDER:
            body = etree.fromstring(shown(view, f"{operation} request, SOAP 1.1").encode())
            assert body.findtext(".//{urn:webchat:v1}CHATID") == chat_id


def test_without_the_demo_chat_the_page_says_which_link_to_put_in(service: Service) -> None:
    page = read_page(service)
    (note,) = page.xpath("//article[@id='UploadFile']//p[@class='note']")
    assert "Put a link of your own" in note.text_content()
    stands_for = note.xpath("string(code)")
    sample = shown(page, "UploadFile request, SOAP 1.2")
    assert sample.count(stands_for) == 1
    link = service.host.serve("/page.png", PICTURE.read_bytes())
    answer = post(service, sample.replace(stands_for, link), "1.2")
    assert answer.findtext(".//{*}file/{*}originalFileName") == "receipt.png"


def test_the_page_never_shows_the_link_to_a_picture_that_somebody_else_sent(start_service: Any) -> None:
    service = start_service()
    soap = Soap(f"{service.address}?wsdl", "WebchatSoap11")
    link = service.host.serve("/own.png", PICTURE.read_bytes())
    soap.UploadFile(CHATID="demo", fileDetails=f'{{"fileUrl": "{link}"}}')
    assert "/public_files/2" not in requests.get(service.address, timeout=10).text.replace(
        "chat.example.com/public", ""
    )


def test_the_wsdl_to_copy_is_the_one_that_is_served(service: Service) -> None:
    (text,) = read_page(service).xpath("//textarea")
    assert text.get("readonly") is not None
    assert text.text == requests.get(f"{service.address}?wsdl", timeout=10).text


def test_the_schema_alone_is_where_the_page_says(service: Service) -> None:
    page = read_page(service)
    (link,) = page.xpath("//a[text()='schema alone']/@href")
    assert requests.get(f"{service.address}{link}", timeout=10).content.startswith(b"<?xml")


def test_the_curl_call_works_as_pasted(service: Service) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    run = subprocess.run(
        ["sh", "-c", shown(read_page(service), "curl, SOAP 1.1") + "\n"], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 0, run.stderr
    assert "<sequence>1</sequence>" in run.stdout


class Stack:
    """How one language's snippet is run: `prepare` once for a folder, then `run` the code."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address

    def call(self, *command: str) -> str:
        run = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            env=os.environ | {"LC_ALL": "C.UTF-8", "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"},
        )
        assert run.returncode == 0, run.stderr + run.stdout
        return run.stdout

    def write(self, name: str, code: str) -> str:
        (self.folder / name).write_text(code, encoding="utf-8")
        return name

    def need(self, *programs: str) -> None:
        for program in programs:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed; run tests/interop/install")

    def python(self, code: str) -> str:
        import sys

        return self.call(sys.executable, self.write("hello.py", code))

    def php(self, code: str) -> str:
        self.need("php")
        return self.call("php", "-d", "soap.wsdl_cache_enabled=0", self.write("hello.php", code))

    def node(self, code: str) -> str:
        self.need("node")
        if not (MODULES / "soap").is_dir():
            pytest.skip("npm's soap is not installed; run tests/interop/install")
        if not (self.folder / "node_modules").exists():
            (self.folder / "node_modules").symlink_to(MODULES.resolve())
        return self.call("node", self.write("hello.mjs", code))

    def java(self, code: str) -> str:
        self.need("wsimport", "javac")
        if not (self.folder / "webchat").exists():
            self.call("wsimport", "-quiet", "-p", "webchat", f"{self.address}?wsdl")
        classes = f".:{JAXWS}"
        self.call("javac", "-encoding", "UTF-8", "-cp", classes, self.write("Hello.java", code))
        factory = "-Djavax.xml.soap.SAAJMetaFactory=com.sun.xml.messaging.saaj.soap.SAAJMetaFactoryImpl"
        return self.call("java", factory, "-Dfile.encoding=UTF-8", "-cp", classes, "Hello")

    def csharp(self, code: str) -> str:
        self.need("wsdl", "mcs", "mono")
        if not (self.folder / "Webchat.cs").exists():
            self.call("wsdl", f"{self.address}?wsdl")
        self.call("mcs", "-r:System.Web.Services", self.write("Hello.cs", code), "Webchat.cs")
        return self.call("mono", "Hello.exe")


JAXWS = os.environ.get("JAXWS", "/usr/share/java/jaxws-rt.jar")


@pytest.mark.parametrize("language", [snippet.slug for snippet in SNIPPETS])
def test_the_client_in(service: Service, tmp_path: Path, language: str) -> None:
    """It sends and reads as it stands, and shows a fault for what it is when its message is spoilt."""
    (snippet,) = (each for each in SNIPPETS if each.slug == language)
    code = shown(read_page(service), f"A client in {snippet.language}")
    assert 8 <= len(code.splitlines()) <= 16
    run = getattr(Stack(tmp_path, service.address), language)
    assert run(code).splitlines() == ["1 CUSTOMER Merhaba!"]
    spoilt = code.replace("Merhaba!", "")
    assert spoilt != code
    assert "InvalidRequest" in run(spoilt)
