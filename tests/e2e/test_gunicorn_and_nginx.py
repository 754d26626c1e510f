"""The README's ways to run the service besides `serve`: under gunicorn, and behind nginx with its own block."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.e2e.console_script import Running, children_of, free_port, running, until
from tests.file_host import FileHost
from tests.serving import SAMPLES, Soap
from webchat_soap.server import hold_data_folder

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PICTURE = next(SAMPLES.rglob("*.png"))


class Gunicorn:
    """The README's gunicorn command on a data folder."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"gunicorn-{self.port}.log"
        (command,) = re.findall(r"^gunicorn .*$", README, re.MULTILINE)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
        environ |= {f"WEBCHAT_{name}": value for name, value in settings.items()}
        environ |= {"WEBCHAT_DATA_DIR": str(data), "WEBCHAT_BIND": f"127.0.0.1:{self.port}"}
        arguments = [str(Path(sys.executable).parent / "gunicorn"), *shlex.split(command)[1:]]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(arguments, env=environ, stdout=log, stderr=log, cwd=data.parent)

    def wait(self) -> Gunicorn:
        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
            return False

        until(answers, seconds=30, what="gunicorn does not become ready")
        return self


@contextmanager
def under_gunicorn(data: Path, **settings: str) -> Iterator[Gunicorn]:
    gunicorn = Gunicorn(data, **settings)
    try:
        yield gunicorn.wait()
    finally:
        if gunicorn.process.poll() is None:
            gunicorn.process.terminate()
            try:
                gunicorn.process.wait(30)
            except subprocess.TimeoutExpired:
                gunicorn.process.kill()
                gunicorn.process.wait()


def test_under_gunicorn_files_texts_and_waits_work_and_it_stops_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    spooled = data / "spool" / "1-dead" / "left"
    spooled.parent.mkdir(parents=True)
    spooled.write_bytes(b"of a crash")
    with FileHost() as host:
        url = host.serve("/a.png", PICTURE.read_bytes())
        with under_gunicorn(data, FETCH_ALLOW=f"127.0.0.1:{host.port}", WORKERS="2") as gunicorn:
            until(lambda: len(children_of(gunicorn.process.pid)) == 2, seconds=20, what="there are not two workers")
            assert not spooled.exists()
            soap = Soap(f"{gunicorn.url}/webchat?wsdl", "WebchatSoap12")
            soap.SendMessage(CHATID="a", fileDetails='{"text": "first"}')
            (stored,) = soap.UploadFile(CHATID="a", fileDetails=json.dumps({"fileUrl": url})).file
            assert requests.get(stored.fileUrl, timeout=10).content == PICTURE.read_bytes()

            pages: list[object] = []

            def wait(after: int) -> None:
                own = Soap(f"{gunicorn.url}/webchat?wsdl", "WebchatSoap11")
                pages.append(own.GetMessages(CHATID="a", afterSequence=after, waitSeconds=30))

            waiter = threading.Thread(target=wait, args=(2,))
            waiter.start()
            soap.SendMessage(CHATID="a", fileDetails='{"text": "news"}')
            waiter.join(20)
            assert [message.text for message in pages[0].message] == ["news"]

            second, serve = Gunicorn(data), Running(data)
            for other in (second, serve):
                assert other.process.wait(30) == 1
                said = other.log.read_text()
                assert f"{data} is in use by process {gunicorn.process.pid}; stop that one first" in said
                assert "Traceback" not in said

            waiter = threading.Thread(target=wait, args=(3,))
            waiter.start()
            threading.Event().wait(0.5)
            began = time.monotonic()
            gunicorn.process.send_signal(signal.SIGTERM)
            assert gunicorn.process.wait(20) == 0
            waiter.join(20)
            assert time.monotonic() - began < 15  # and not the 30 s that the call would have waited
            assert pages[1].message == []
            assert "Traceback" not in gunicorn.log.read_text()
    with hold_data_folder(data):  # it was let go of
        pass


def test_a_wrong_setting_ends_gunicorn_with_a_sentence(tmp_path: Path) -> None:
    gunicorn = Gunicorn(tmp_path / "data", MAX_TEXT="many")
    assert gunicorn.process.wait(30) != 0
    said = gunicorn.log.read_text()
    assert "webchat-soap: " in said
    assert "WEBCHAT_MAX_TEXT" in said
    assert not (tmp_path / "data").exists()


def test_sighup_starts_gunicorns_workers_anew_where_they_were(tmp_path: Path) -> None:
    with under_gunicorn(tmp_path / "data", WORKERS="2") as gunicorn:
        until(lambda: len(children_of(gunicorn.process.pid)) == 2, seconds=20, what="there are not two workers")
        before = set(children_of(gunicorn.process.pid))
        gunicorn.process.send_signal(signal.SIGHUP)

        def are_new() -> bool:
            now = set(children_of(gunicorn.process.pid))
            return len(now) == 2 and not now & before

        until(are_new, seconds=30, what="there are not two new workers")
        gunicorn.wait()
        soap = Soap(f"{gunicorn.url}/webchat?wsdl", "WebchatSoap12")
        soap.StartChat(CHATID="a")
        waiter = threading.Thread(target=lambda: soap.GetMessages(CHATID="a", waitSeconds=30))
        waiter.start()
        # One thread a worker would have these wait until the first one is answered.
        for number in range(4):
            own = Soap(f"{gunicorn.url}/webchat?wsdl", "WebchatSoap11")
            assert own.SendMessage(CHATID="b", fileDetails='{"text": "beside"}').sequence == number + 1
        soap.SendMessage(CHATID="a", fileDetails='{"text": "news"}')
        waiter.join(20)
        assert not waiter.is_alive()


def readme_block() -> str:
    (block,) = re.findall(r"^```nginx\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return block


@contextmanager
def behind_nginx(folder: Path, upstream_port: int, *, allow: str = "127.0.0.1") -> Iterator[str]:
    """nginx with the README's block, which names port 8000 and a network of the documentation; its base URL."""
    assert NGINX is not None, "nginx is not installed (Debian: apt-get install nginx-light)"
    port = free_port()
    block = readme_block()
    assert "http://127.0.0.1:8000/" in block
    assert "allow 203.0.113.0/24;" in block
    block = block.replace("127.0.0.1:8000", f"127.0.0.1:{upstream_port}").replace("203.0.113.0/24", allow)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{ worker_connections 2000; }}\n"
        f"http {{ access_log off; {temporary}\nserver {{ listen 127.0.0.1:{port};\n{block}\n}} }}\n"
    )
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], cwd=folder)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "error.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        until(answers, seconds=10, what="nginx does not listen")
        yield f"http://127.0.0.1:{port}/support"
    finally:
        process.terminate()
        process.wait(10)


def test_behind_nginx_with_the_readmes_block_everything_works(tmp_path: Path) -> None:
    with FileHost() as host:
        url = host.serve("/a.png", PICTURE.read_bytes())
        public = "https://chat.example.com/support"
        allow = f"127.0.0.1:{host.port}"
        with running(tmp_path / "data", FETCH_ALLOW=allow, PUBLIC_URL=public) as service:
            folder = tmp_path / "nginx"
            folder.mkdir()
            with behind_nginx(folder, service.port) as base:
                wsdl = requests.get(f"{base}/webchat?wsdl", timeout=10)
                assert f'location="{public}/webchat"' in wsdl.text
                (tmp_path / "webchat.wsdl").write_text(wsdl.text.replace(public, base))
                soap = Soap(str(tmp_path / "webchat.wsdl"), "WebchatSoap11")
                soap.SendMessage(CHATID="a", fileDetails='{"text": "first"}')
                (stored,) = soap.UploadFile(CHATID="a", fileDetails=json.dumps({"fileUrl": url})).file
                assert stored.fileUrl.startswith(f"{public}/public_files/")
                link = stored.fileUrl.replace(public, base)
                assert requests.get(link, timeout=10).content == PICTURE.read_bytes()
                part = requests.get(link, headers={"Range": "bytes=0-9"}, timeout=10)
                assert (part.status_code, part.content) == (206, PICTURE.read_bytes()[:10])
                assert requests.post(f"{base}/webchat", data=bytes(1_100_000), timeout=10).status_code == 413

                pages: list[object] = []
                waiter = threading.Thread(
                    target=lambda: pages.append(soap.GetMessages(CHATID="a", afterSequence=2, waitSeconds=20))
                )
                waiter.start()
                Soap(str(tmp_path / "webchat.wsdl"), "WebchatSoap12").SendMessage(
                    CHATID="a", fileDetails='{"text": "news"}'
                )
                waiter.join(20)
                assert [message.text for message in pages[0].message] == ["news"]
            others = tmp_path / "others"
            others.mkdir()
            with behind_nginx(others, service.port, allow="192.0.2.1") as base:
                assert requests.get(f"{base}/webchat?wsdl", timeout=10).status_code == 403
                assert requests.get(stored.fileUrl.replace(public, base), timeout=10).status_code == 200


def test_half_sent_requests_through_nginx_hold_no_thread_of_gunicorn(tmp_path: Path) -> None:
    small = {"MAX_FETCHES": "1", "MAX_WAITING": "0"}  # 193 threads
    folder = tmp_path / "nginx"
    folder.mkdir()
    with under_gunicorn(tmp_path / "data", **small) as gunicorn, behind_nginx(folder, gunicorn.port) as base:
        port = int(base.split(":")[2].split("/")[0])
        half = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(250)]
        try:
            for client in half:
                client.sendall(b"POST /support/webchat HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            began = time.monotonic()
            assert requests.get(f"{base}/webchat?wsdl", timeout=10).status_code == 200
            assert time.monotonic() - began < 5
        finally:
            for client in half:
                client.close()
