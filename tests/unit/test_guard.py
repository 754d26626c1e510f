"""The URL guard: what is fetched, what is not, and that nothing inner is ever connected to (contract section 6)."""

from __future__ import annotations

import codecs
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.file_host import FileHost
from webchat_soap.domain.errors import InvalidRequest, UrlNotAllowed, WebchatError
from webchat_soap.domain.file import FileDetails, FileType, ProvedType
from webchat_soap.files.addresses import is_public, parse_address
from webchat_soap.files.download import Downloader, FetchPolicy
from webchat_soap.files.guard import AddressPolicy, AllowRule, UrlGuard, parse_allow_rules
from webchat_soap.files.intake import FileIntake
from webchat_soap.files.resolve import Lookups, resolve_by_system
from webchat_soap.files.spool import Spool

HOSTILE_URLS = Path(__file__).parent.parent / "data" / "hostile_urls.txt"


def hostile_urls(port: int) -> Iterator[tuple[str, str]]:
    """(fault code, URL) of the whole list."""
    code = ""
    for line in HOSTILE_URLS.read_text("ascii").split("\n"):
        if match := re.match(r"\[(UrlNotAllowed|InvalidRequest)\] ", line):
            code = match[1]
        elif line and not line.startswith("# "):
            yield code, codecs.decode(line.replace("{port}", str(port)), "unicode_escape")


class ConnectRecord:
    """Every connect and every lookup that this process tries while the record is on.

    An audit hook sees them whatever code makes them. It cannot be taken away again, so one is switched on and off.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []
        self._on = False
        self._hooked = False

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._on and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            self.seen.append((event, arguments))

    @contextmanager
    def on(self) -> Iterator[list[tuple[str, object]]]:
        if not self._hooked:
            sys.addaudithook(self._hear)
            self._hooked = True
        self.seen = []
        self._on = True
        try:
            yield self.seen
        finally:
            self._on = False


CONNECTS = ConnectRecord()


def intake_over(guard: UrlGuard, folder: Path) -> FileIntake:
    def prove(
        path: Path,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: Mapping[FileType, int],
        deadline: float,
    ) -> ProvedType:
        return ProvedType(file_type=FileType.IMAGE, content_type="image/png", extension="png")

    return FileIntake(
        guard=guard,
        downloader=Downloader(guard, FetchPolicy(connect_seconds=2, first_byte_seconds=4, total_seconds=5)),
        spool=Spool(folder),
        prove=prove,
        content_types=lambda file_type: ("image/png",),
        max_file_bytes=dict.fromkeys(FileType, 1000),
    )


def details(url: str) -> FileDetails:
    return FileDetails(url=url, original_name=None, declared_type=None, field="message.fileDetails.fileUrl")


def resolving(*addresses: str) -> Lookups:
    return Lookups(lambda host, port: addresses)


def guard_with(*allow: str, ports: Sequence[int] = (80, 443, 8080, 8443), lookups: Lookups | None = None) -> UrlGuard:
    policy = AddressPolicy(allow=parse_allow_rules(allow), ports=frozenset(ports))
    return UrlGuard(policy, lookups=lookups or resolving("93.184.215.14"))


def find(guard: UrlGuard, url: str) -> list[str]:
    target = guard.check_url(url, field="fileUrl")
    return [str(each) for each in guard.find_addresses(target, deadline=time.monotonic() + 5, field="fileUrl")]


def test_no_hostile_url_reaches_a_listener_and_each_gets_its_fault(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(FileHost())
        hosts = [first]
        for address, port in [("::1", first.port), ("127.0.0.1", 80), ("::1", 80), ("127.0.0.1", 8443)]:
            try:
                hosts.append(stack.enter_context(FileHost(address=address, port=port)))
            except OSError:  # no right to this port, or somebody has it: the audit hook watches all the same
                continue
        ports = frozenset({80, 443, 8080, 8443, *(host.port for host in hosts)})
        intake = intake_over(UrlGuard(AddressPolicy(ports=ports), lookups=resolving("127.0.0.1", "::1")), tmp_path)
        urls = list(hostile_urls(first.port))
        assert len(urls) == len(set(urls)) >= 300
        wrong = []
        with CONNECTS.on() as connects:
            for code, url in urls:
                try:
                    with intake.fetch(details(url), deadline=time.monotonic() + 5):
                        wrong.append((url, "taken"))
                except WebchatError as error:
                    if error.code != code or error.field != "message.fileDetails.fileUrl" or error.retryable:
                        wrong.append((url, f"{error.code}: {error.message}"))
                    if any(character < " " or "\ud800" <= character <= "\udfff" for character in error.message):
                        wrong.append((url, "its message cannot stand in XML"))
        assert wrong == []
        assert connects == []
        assert [host.connections for host in hosts] == [0] * len(hosts)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_same_intake_does_reach_a_listener_that_the_operator_allows(tmp_path: Path) -> None:
    with FileHost() as host, CONNECTS.on() as connects:
        guard = UrlGuard(AddressPolicy(allow=parse_allow_rules([f"127.0.0.1:{host.port}"])))
        with intake_over(guard, tmp_path).fetch(
            details(host.serve("/a", b"bytes")), deadline=time.monotonic() + 5
        ) as checked:
            assert checked.size == 5
        assert len(connects) == host.connections == 1


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "2a00:1450:4001:82a::200e",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(parse_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "2001:0:1::1",
        "fec0::1",
        "ff02::1",
        "fe80::1%eth0",
        "2a00:1450::5efe:8.8.8.8",
        "2a00:1450::200:5efe:8.8.8.8",
        "fd00:ec2::254",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "255.255.255.255",
    ],
)
def test_inner_addresses_are_not_public(address: str) -> None:
    assert not is_public(parse_address(address))


# Names


def test_a_public_url_is_taken_and_its_addresses_are_kept_in_order() -> None:
    guard = guard_with(lookups=resolving("2606:2800:21f::1", "93.184.215.14", "93.184.215.14"))
    assert find(guard, "https://files.example/a.png") == ["2606:2800:21f::1", "93.184.215.14"]


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("HTTPS://Files.Example./a?b=c#d", "https://files.example/a?b=c"),
        ("http://files.example:80", "http://files.example/"),
        ("https://files.example:443/", "https://files.example/"),
        ("https://files.example:8443?q", "https://files.example:8443/?q"),
        (
            "https://dosya\u015far.example/\u015f\u011f\u0131\u0130\U0001f600.png",
            "https://xn--dosyaar-eqb.example/\u015f\u011f\u0131\u0130\U0001f600.png",
        ),
        ("http://files\u3002example/", "http://files.example/"),
        ("http://8.8.8.8./", "http://8.8.8.8/"),
        ("http://[2606:2800:21F:0::1]:8080/", "http://[2606:2800:21f::1]:8080/"),
        ("http://my_bucket.files.example/a//b/../c", "http://my_bucket.files.example/a//b/../c"),
        ("http://1.2.3.4.example/", "http://1.2.3.4.example/"),
    ],
)
def test_urls_are_read_to_one_plain_form(url: str, plain: str) -> None:
    assert guard_with().check_url(url, field="fileUrl").url == plain


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "10.0.0.1"],
        ["10.0.0.1", "93.184.215.14"],
        ["93.184.215.14", "::1"],
        ["fe80::1%eth0"],
        ["::ffff:93.184.215.14"],
        ["93.184.215.14"] * 50 + ["169.254.169.254"],
    ],
)
def test_one_inner_address_refuses_the_name_and_is_not_told(addresses: list[str]) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        find(guard_with(lookups=resolving(*addresses)), "https://files.example/")
    assert "files.example" in caught.value.message
    assert "WEBCHAT_FETCH_ALLOW" in caught.value.message
    assert not any(address in caught.value.message for address in addresses)


def test_a_name_that_turns_inward_after_the_check_is_never_asked_again(tmp_path: Path) -> None:
    with FileHost() as first, FileHost(address="::1", port=first.port) as second:
        # The operator allows 127.0.0.1 alone. It is what the name says first; from then on it says ::1.
        answers = iter([["127.0.0.1"], ["::1"], ["::1"]])
        asked = []

        def rebind(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        guard = UrlGuard(
            AddressPolicy(allow=parse_allow_rules(["127.0.0.1"]), ports=frozenset({first.port})),
            lookups=Lookups(rebind),
        )
        intake = intake_over(guard, tmp_path)
        first.serve("/a", b"from the checked address")
        url = f"http://files.example:{first.port}/a"
        with intake.fetch(details(url), deadline=time.monotonic() + 5) as checked:
            assert checked.path.read_bytes() == b"from the checked address"
        assert asked == ["files.example"]
        with pytest.raises(UrlNotAllowed), intake.fetch(details(url), deadline=time.monotonic() + 5):
            pass
        assert (first.connections, second.connections) == (1, 0)


def test_a_name_is_checked_again_at_every_redirect(tmp_path: Path) -> None:
    with FileHost() as first, FileHost(address="::1", port=first.port) as second:
        answers = iter([["127.0.0.1"], ["::1"]])
        guard = UrlGuard(
            AddressPolicy(allow=parse_allow_rules(["127.0.0.1"]), ports=frozenset({first.port})),
            lookups=Lookups(lambda host, port: next(answers)),
        )
        first.redirect("/a", "/b")
        url = f"http://files.example:{first.port}/a"
        with (
            pytest.raises(UrlNotAllowed),
            intake_over(guard, tmp_path).fetch(details(url), deadline=time.monotonic() + 5),
        ):
            pass
        assert (first.connections, second.connections) == (1, 0)


def test_the_systems_resolver_answers_addresses() -> None:
    assert set(resolve_by_system("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        resolve_by_system("does-not-exist.invalid", 80)


def test_a_lookup_leaves_no_thread_behind() -> None:
    lookups = resolving("127.0.0.1")
    lookups.find("files.example", 80, deadline=time.monotonic() + 5, field="fileUrl")
    ends = time.monotonic() + 5
    while any(thread.name == "lookup" for thread in threading.enumerate()):
        assert time.monotonic() < ends


# WEBCHAT_FETCH_ALLOW and WEBCHAT_FETCH_PORTS


@pytest.mark.parametrize(
    ("rule", "url", "answer"),
    [
        ("files.inner", "http://files.inner/", ["10.0.0.1"]),
        ("files.inner", "http://FILES.inner.:8080/", ["127.0.0.1", "93.184.215.14"]),
        ("Files.Inner.", "http://files.inner/", ["10.0.0.1"]),
        ("files.inner:9000", "http://files.inner:9000/", ["10.0.0.1"]),
        ("dosya\u015far.inner", "http://dosya\u015far.inner/", ["10.0.0.1"]),
        ("localhost", "http://localhost/", ["127.0.0.1"]),
        ("localhost:9000", "http://localhost:9000/", ["127.0.0.1"]),
        ("127.0.0.1", "http://127.0.0.1/", None),
        ("127.0.0.1", "http://files.inner/", ["127.0.0.1"]),
        ("127.0.0.1", "http://localhost/", ["127.0.0.1"]),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", None),
        ("::1", "http://[::1]/", None),
        ("[::1]", "http://[0:0::1]/", None),
        ("[::1]:9000", "http://[::1]:9000/", None),
        ("10.0.0.0/8", "http://10.9.8.7/", None),
        ("10.0.0.0/8", "http://files.inner/", ["10.0.0.1", "93.184.215.14", "10.255.0.1"]),
        ("fd00::/8", "http://[fd12::1]/", None),
    ],
)
def test_what_the_operator_allows_is_fetched(rule: str, url: str, answer: list[str] | None) -> None:
    guard = guard_with(rule, lookups=resolving(*(answer or ["192.0.2.1"])))
    found = find(guard, url)
    assert answer is None or found == answer


@pytest.mark.parametrize(
    ("rule", "url", "answer"),
    [
        ("files.inner", "http://files.inner:9000/", ["10.0.0.1"]),
        ("files.inner", "http://a.files.inner/", ["10.0.0.1"]),
        ("files.inner", "http://files.inner.example/", ["10.0.0.1"]),
        ("files.inner", "http://10.0.0.1/", None),
        ("files.inner:9000", "http://files.inner/", ["10.0.0.1"]),
        ("files.inner:9000", "http://files.inner:9001/", ["10.0.0.1"]),
        ("files.inner:9000", "http://other.inner:9000/", ["10.0.0.1"]),
        ("localhost", "http://a.localhost/", ["127.0.0.1"]),
        ("127.0.0.1", "http://127.0.0.1:9000/", None),
        ("127.0.0.1", "http://127.0.0.2/", None),
        ("127.0.0.1", "http://127.1/", None),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", None),
        ("127.0.0.1", "http://files.inner/", ["127.0.0.1", "::1"]),
        ("127.0.0.1:9000", "http://127.0.0.1/", None),
        ("127.0.0.1:9000", "http://files.inner/", ["127.0.0.1"]),
        ("127.0.0.1:9000", "http://files.inner:9000/", ["127.0.0.1"]),
        ("10.0.0.0/8", "http://files.inner/", ["10.0.0.1", "192.168.0.1"]),
        ("10.0.0.0/8", "http://10.0.0.1:9000/", None),
        ("0.0.0.0/0", "http://[::1]/", None),
    ],
)
def test_a_rule_allows_no_more_than_it_says(rule: str, url: str, answer: list[str] | None) -> None:
    with pytest.raises(UrlNotAllowed):
        find(guard_with(rule, lookups=resolving(*(answer or ["192.0.2.1"]))), url)


def test_allowed_ports_are_a_setting() -> None:
    assert guard_with(ports=[9000]).check_url("http://files.example:9000/", field="fileUrl").port == 9000
    with pytest.raises(UrlNotAllowed, match="port 80") as caught:
        guard_with(ports=[9000]).check_url("http://files.example/", field="fileUrl")
    assert "9000" in caught.value.message


def test_rules_are_parsed_and_empty_ones_passed_over() -> None:
    rules = parse_allow_rules(["", "  files.example ", " ", "b\u00fccher.example:81", "[::1]:82"])
    assert rules[0] == AllowRule(host="files.example")
    assert rules[1] == AllowRule(host="xn--bcher-kva.example", port=81)
    assert (str(rules[2].network), rules[2].port) == ("::1/128", 82)
    assert parse_allow_rules([]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "http://files.example",
        "files.example/path",
        "*.example",
        "*",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "127.1",
        "0x7f.0.0.1",
        "files.example:",
        "files.example:0",
        "files.example:65536",
        "files.example:http",
        "a b",
        "user@files.example",
        "[::1",
        "::1:81:",
        "fe80::1%eth0",
        "a" * 64,
    ],
)
def test_a_rule_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_allow_rules(["files.example", text])


def test_a_url_over_2048_characters_is_refused_with_both_numbers() -> None:
    guard = guard_with()
    url = "https://files.example/" + "a" * (2048 - 22)
    assert guard.check_url(url, field="fileUrl").host == "files.example"
    with pytest.raises(InvalidRequest) as caught:
        guard.check_url(url + "a", field="fileUrl")
    assert (caught.value.limit, caught.value.actual, caught.value.field) == (2048, 2049, "fileUrl")
