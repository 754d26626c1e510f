"""Where the service goes to fetch a file, and where not (contract: section 6, UrlNotAllowed).

A URL is read once, strictly, by our own rules: what two parsers could read in two ways is refused. What comes out is a
Target; the download connects to the addresses that were checked here and resolves nothing again, so that a name which
answers differently the second time gains nothing. Every address of a name must be allowed: the order of a DNS answer
is in the hands of whoever answers, and one inner address among public ones is an attack or a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import idna

from webchat_soap.domain.errors import InvalidRequest, UrlNotAllowed
from webchat_soap.files.addresses import IpAddress, IpNetwork, is_public, parse_address, parse_network
from webchat_soap.files.resolve import Lookups

DEFAULT_PORTS = frozenset({80, 443, 8080, 8443})

_MAX_URL_LENGTH = 2048  # contract section 3
_MAX_LOCATION_LENGTH = 8192  # links signed by object stores run to some thousand characters
_MAX_NAME_LENGTH = 253  # RFC 1035: 255 octets on the wire

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_\-]{1,63}")
_NUMBER_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")  # what IDNA takes for a dot, RFC 3490 section 3.1
_SCHEME_PORTS = {"http": 80, "https": 443}

_ASK = "use a public address, or ask the operator to put the host on WEBCHAT_FETCH_ALLOW"


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowRule:
    """One entry of WEBCHAT_FETCH_ALLOW: a name, whatever it resolves to, or a network of addresses.

    With a port it speaks for that port alone, which then need not be among the allowed ports; without one for all of
    those.
    """

    host: str | None = None
    network: IpNetwork | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressPolicy:
    """What may be fetched besides public addresses, and on which ports."""

    allow: tuple[AllowRule, ...] = ()
    ports: frozenset[int] = DEFAULT_PORTS

    def allows_port(self, host: str, address: IpAddress | None, port: int) -> bool:
        """Whether this host, as the URL names it, may be asked on `port`."""
        return port in self.ports or any(
            rule.port == port and (rule.host == host or _holds(rule.network, address)) for rule in self.allow
        )

    def allows_name(self, host: str, port: int) -> bool:
        """Whether the operator trusts this name, whatever address it has."""
        return any(rule.host == host and rule.port in (None, port) for rule in self.allow)

    def allows_address(self, address: IpAddress, port: int) -> bool:
        """Whether the address is public or the operator trusts it."""
        return is_public(address) or any(
            _holds(rule.network, address) and rule.port in (None, port) for rule in self.allow
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A URL that was read and found allowed as far as that shows without the network."""

    scheme: str
    """`http` or `https`."""
    host: str
    """ASCII, lower case, without brackets and without a dot at its end."""
    port: int
    path: str
    """Path and query, beginning with `/`; free of white space and control characters, not yet percent-encoded."""
    address: IpAddress | None
    """Where the host is an address itself."""

    @property
    def url(self) -> str:
        """The URL again, in its plainest form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _SCHEME_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


class UrlGuard:
    """Says yes to a URL, to the addresses behind it and to a redirect; or raises UrlNotAllowed."""

    def __init__(self, policy: AddressPolicy, *, lookups: Lookups | None = None) -> None:
        self._policy = policy
        self._lookups = Lookups() if lookups is None else lookups

    def check_url(self, url: str, *, field: str) -> Target:
        """The refusals that need no network.

        UrlNotAllowed, or InvalidRequest for what is no absolute URL at all or too long.
        """
        if len(url) > _MAX_URL_LENGTH:
            raise InvalidRequest(
                f"fileUrl has {len(url)} characters; it may have {_MAX_URL_LENGTH}.",
                field=field,
                limit=_MAX_URL_LENGTH,
                actual=len(url),
            )
        return self._check(url, what="fileUrl", field=field)

    def check_redirect(self, source: Target, location: str, *, field: str) -> Target:
        """The target of a `Location` header, absolute or relative to `source`; from https it may not lead to http."""
        what = "A redirect from fileUrl"
        if len(location) > _MAX_LOCATION_LENGTH:
            raise UrlNotAllowed(
                f"{what} has more than {_MAX_LOCATION_LENGTH} characters; correct the URL.", field=field
            )
        if not _SCHEME.match(location):
            _refuse_odd_characters(location, what=what, field=field)
            try:
                location = urljoin(source.url, location)
            except ValueError as error:
                raise UrlNotAllowed(
                    f"{what} leads to something that is no URL; correct the URL.", field=field
                ) from error
        target = self._check(location, what=what, field=field)
        if source.scheme == "https" and target.scheme == "http":
            raise UrlNotAllowed(
                f"{what} leads from https to http, where anybody on the way could change the file; give a fileUrl that "
                "stays on https.",
                field=field,
            )
        return target

    def find_addresses(self, target: Target, *, deadline: float, field: str) -> tuple[IpAddress, ...]:
        """The addresses to connect to, best first, each of them allowed.

        Resolves once. UrlNotAllowed when one of them is not allowed; DownloadFailed, Busy as Lookups.find has them.
        """
        if target.address is not None:
            return (target.address,)
        addresses = self._lookups.find(target.host, target.port, deadline=deadline, field=field)
        if not self._policy.allows_name(target.host, target.port) and not all(
            self._policy.allows_address(address, target.port) for address in addresses
        ):
            raise UrlNotAllowed(
                f"fileUrl's host {_shown(target.host)} leads to an address that is not public; {_ASK}.", field=field
            )
        return addresses

    def _check(self, url: str, *, what: str, field: str) -> Target:
        scheme, rest = _split_scheme(url, what=what, field=field)
        _refuse_odd_characters(url, what=what, field=field)
        rest = rest.partition("#")[0]
        if not rest.startswith("//"):
            raise UrlNotAllowed(
                f"{what} needs two slashes after {scheme}: and then a host; correct the URL.", field=field
            )
        end = min(at for at in (rest.find("/", 2), rest.find("?", 2), len(rest)) if at != -1)
        authority, path = rest[2:end], rest[end:]
        if "@" in authority:
            raise UrlNotAllowed(
                f"{what} holds a user name or password; give a URL without one (a signed link, or a host that the "
                "operator lets the service reach).",
                field=field,
            )
        host, port_text = _split_port(authority, what=what, field=field)
        name, address = _read_host(host, what=what, field=field)
        port = int(port_text) if port_text else _SCHEME_PORTS[scheme]
        if not self._policy.allows_port(name, address, port):
            ports = ", ".join(str(each) for each in sorted(self._policy.ports))
            raise UrlNotAllowed(
                f"{what} names port {port}; files are fetched on the ports {ports} (the operator can add others by "
                "WEBCHAT_FETCH_PORTS, or this host with its port by WEBCHAT_FETCH_ALLOW).",
                field=field,
            )
        if not self._may_be_allowed(name, address, port):
            raise UrlNotAllowed(f"{what} leads to {_shown(name)}, which is not public; {_ASK}.", field=field)
        if not path.startswith("/"):
            path = "/" + path
        return Target(scheme=scheme, host=name, port=port, path=path, address=address)

    def _may_be_allowed(self, name: str, address: IpAddress | None, port: int) -> bool:
        if self._policy.allows_name(name, port):
            return True
        if address is not None:
            return self._policy.allows_address(address, port)
        # RFC 6761: these names are loopback wherever they are asked. A rule for a network may still let them in.
        is_loopback_name = name == "localhost" or name.endswith(".localhost")
        return not is_loopback_name or any(rule.network is not None for rule in self._policy.allow)


def parse_allow_rules(texts: Sequence[str]) -> tuple[AllowRule, ...]:
    """The entries of WEBCHAT_FETCH_ALLOW: `files.example`, `files.example:81`, `10.0.0.0/8`, `10.1.2.3`, `[::1]:81`.

    Empty entries are passed over. ValueError with a sentence for the operator.
    """
    return tuple(_parse_rule(text.strip()) for text in texts if text.strip())


def _parse_rule(text: str) -> AllowRule:
    if "://" in text:
        raise ValueError(f"{text!r} is a URL; write the host alone, as files.example or files.example:8081")
    if "*" in text:
        raise ValueError(f"{text!r} has a wildcard; write each host by its whole name, or a network as 10.0.0.0/8")
    if "%" in text or (text.endswith(":") and not text.endswith("::")):
        raise ValueError(f"{text!r} has a zone or no port after its colon; write it as files.example:8081")
    if "/" in text:
        try:
            return AllowRule(network=parse_network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is not a network: {error}; write one as 10.0.0.0/8 or fd00::/8") from error
    try:
        return AllowRule(network=parse_network(text))
    except ValueError:
        pass  # no bare address, so a name or something with a port
    try:
        host, port_text = _split_port(text, what="It", field="")
        name, address = _read_host(host, what="It", field="")
    except UrlNotAllowed as error:
        raise ValueError(f"{text!r} is neither a host, host:port nor a network: {error.message}") from error
    port = int(port_text) if port_text else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"{text!r} names the port {port}; ports go from 1 to 65535")
    if address is not None:
        return AllowRule(network=parse_network(str(address)), port=port)
    return AllowRule(host=name, port=port)


def _holds(network: IpNetwork | None, address: IpAddress | None) -> bool:
    return network is not None and address is not None and address in network


def _shown(text: str) -> str:
    """A caller's value for a sentence: quoted, nothing unprintable, at most 80 characters of it."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _split_scheme(url: str, *, what: str, field: str) -> tuple[str, str]:
    match = _SCHEME.fullmatch(url)
    if match is None:
        raise InvalidRequest(
            f"{what} is no absolute URL: {_shown(url)}; it begins with https:// or http:// and a host.", field=field
        )
    scheme = match[1].lower()
    if scheme not in _SCHEME_PORTS:
        raise UrlNotAllowed(
            f"{what} has the scheme {_shown(scheme)}; only https and http are fetched.",
            field=field,
        )
    return scheme, match[2]


def _refuse_odd_characters(url: str, *, what: str, field: str) -> None:
    for at, character in enumerate(url, start=1):
        if character == "\\" or character.isspace() or not ("\x20" < character < "\x7f" or character > "\x9f"):
            raise UrlNotAllowed(
                f"{what} holds {character!r} at character {at}, which no URL may; write it percent-encoded, as %20 for "
                "a space.",
                field=field,
            )
        if "\ud800" <= character <= "\udfff":
            raise UrlNotAllowed(f"{what} holds half a character at character {at}; correct the URL.", field=field)


def _split_port(authority: str, *, what: str, field: str) -> tuple[str, str]:
    """The host (an IPv6 address with its brackets) and the digits of the port, empty where there are none."""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UrlNotAllowed(f"{what} has a [ in its host that is not closed before the port.", field=field)
        host, port = host + "]", rest[1:]
    else:
        host, _, port = authority.partition(":")
        if ":" in port:
            raise UrlNotAllowed(
                f"{what} has more than one colon after its host; an IPv6 address goes in [ ].", field=field
            )
    if port and not _PORT.fullmatch(port):
        raise UrlNotAllowed(f"{what} has the port {_shown(port)}, which is not a number up to 65535.", field=field)
    if not host:
        raise UrlNotAllowed(f"{what} names no host; give the whole URL.", field=field)
    return host, port


def _read_host(host: str, *, what: str, field: str) -> tuple[str, IpAddress | None]:
    """The host in its one plain form, and its address where it is one."""
    if "%" in host:
        raise UrlNotAllowed(
            f"{what} has a % in its host {_shown(host)}; write the host plainly, without a zone.", field=field
        )
    if host.startswith("["):
        try:
            address = parse_address(host[1:-1])
        except ValueError as error:
            raise UrlNotAllowed(
                f"{what} has {_shown(host)} for a host, which is no IPv6 address.", field=field
            ) from error
        if address.version != 6:
            raise UrlNotAllowed(f"{what} has {_shown(host)} for a host; only IPv6 addresses go in [ ].", field=field)
        return str(address), address
    name = _read_name(host, what=what, field=field)
    labels = name.split(".")
    if not _NUMBER_LABEL.fullmatch(labels[-1]):
        return name, None
    # A last label that is a number makes the whole an IPv4 address to browsers, libc and inet_aton (WHATWG URL section
    # 3.5): as one number, octal, hexadecimal or shortened. Only the one notation that all agree on is taken.
    try:
        if name != host.rstrip("."):
            raise ValueError("an address in other digits or dots than ASCII's")
        address = parse_address(name)
    except ValueError as error:
        raise UrlNotAllowed(
            f"{what} has {_shown(host)} for a host; write an IPv4 address as four decimal numbers, as 198.51.100.7.",
            field=field,
        ) from error
    return str(address), address


def _read_name(host: str, *, what: str, field: str) -> str:
    if len(host) > _MAX_NAME_LENGTH + 1:
        raise UrlNotAllowed(
            f"{what} has a host of {len(host)} characters; {_MAX_NAME_LENGTH} are the most.", field=field
        )
    name = _OTHER_DOTS.sub(".", host)
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise UrlNotAllowed(
                f"{what} has {_shown(host)} for a host, which is no valid international name.", field=field
            ) from error
    name = name.lower().removesuffix(".")
    if len(name) > _MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise UrlNotAllowed(
            f"{what} has {_shown(host)} for a host, which is no host name: labels of 1 to 63 letters, digits and "
            "hyphens with single dots between.",
            field=field,
        )
    return name
