"""How addresses are written in settings: what to listen on, base URLs, hosts to trust, where data is kept.

Kinds as in settings_values. Contract: section 8.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from webchat_soap.settings_values import NOT_YET, WHOLE, absolute_path, each, hide_credentials

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """An address to listen on. `host` is an IP address, IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL that reaches this address from the machine itself."""
        return f"http://{self}"


@dataclass(frozen=True)
class Address:
    """`host:port` to listen on; in this version a loopback address."""

    unit: str = ""
    allowed: str = "a loopback address and a port from 1 to 65535, such as 127.0.0.1:8000, localhost:8000 or [::1]:8000"

    def parse(self, text: str) -> Bind:
        host, colon, port = text.rpartition(":")
        if not colon or not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            raise ValueError("is not host:port")
        if WHOLE.fullmatch(port) is None or not 1 <= int(port) <= 65535:
            raise ValueError("has no port from 1 to 65535")
        host = host.removeprefix("[").removesuffix("]")
        # Not left to the resolver: a name's answer can change between the check and the bind.
        if host.lower() == "localhost":
            host = "127.0.0.1"
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("names no IP address") from None
        if not address.is_loopback or getattr(address, "ipv4_mapped", None) is not None:
            raise ValueError(
                "is reachable from other machines, and accounts, without which the service does not go beyond "
                f"loopback, are {NOT_YET} (a proxy on this machine can publish it; see WEBCHAT_PUBLIC_URL)"
            )
        return Bind(host=str(address), port=int(port))

    def show(self, value: Bind) -> str:
        return str(value)


@dataclass(frozen=True)
class BaseUrl:
    """Scheme, host, optional port and path prefix; None for none. Scheme and host come back in lower case."""

    unit: str = ""
    allowed: str = "http:// or https://, a host, perhaps a port and a path, such as https://chat.example.com/support"

    def parse(self, text: str) -> str | None:
        if re.search(r"\s", text):
            raise ValueError("holds white space")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("does not begin with http:// or https:// and a host")
        if "@" in parts.netloc:
            raise ValueError("holds credentials, which every link would show")
        if "?" in text or "#" in text:
            raise ValueError("holds a query or a fragment")
        if text.endswith("/"):
            raise ValueError("ends with a slash: leave it away")
        if parts.netloc.endswith(":") or port == 0:
            raise ValueError("has no port from 1 to 65535 after its colon")
        if "[" in parts.netloc and ":" not in parts.hostname:
            raise ValueError("names no host")
        host = _checked_host(parts.hostname)
        segments = parts.path.split("/")
        if _PATH_PREFIX.fullmatch(parts.path) is None or "." in segments or ".." in segments:
            raise ValueError("has a path of other than plain segments (letters, digits and . _ ~ -)")
        return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"

    def show(self, value: str | None) -> str:
        return value or ""


@dataclass(frozen=True)
class FetchAllow:
    """Hosts, host:port or CIDR, separated by commas."""

    unit: str = ""
    allowed: str = "hosts, host:port or CIDR separated by commas, such as files.internal, 10.0.0.7:9000, 10.1.0.0/16"

    def parse(self, text: str) -> tuple[str, ...]:
        return each(text, self._entry)

    @staticmethod
    def _entry(text: str) -> str:
        if "//" in text:
            raise ValueError("is a URL: name its host alone")
        if "/" in text:
            try:
                return str(ipaddress.ip_network(text))
            except ValueError:
                raise ValueError("is not a CIDR network (are bits beyond its prefix set?)") from None
        if text.count(":") > 1 and not text.startswith("["):
            return _checked_host(text).strip("[]")
        host, colon, port = text, "", ""
        if ":" in text.rpartition("]")[2]:
            host, colon, port = text.rpartition(":")
            if WHOLE.fullmatch(port) is None or not 1 <= int(port) <= 65535:
                raise ValueError("has no port from 1 to 65535 after its colon")
        checked = _checked_host(host)
        return f"{checked}:{int(port)}" if colon else checked.strip("[]")

    def show(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


@dataclass(frozen=True)
class DatabaseUrl:
    """`sqlite:///path`; the empty string stands for the file in the data folder. PostgreSQL is known and refused."""

    unit: str = ""
    allowed: str = "sqlite:///PATH inside the data folder (empty: webchat.db there)"

    def parse(self, text: str) -> str:
        scheme = text.partition(":")[0].lower()
        if scheme.partition("+")[0] in ("postgresql", "postgres"):
            raise ValueError(f"is {NOT_YET}: PostgreSQL comes later")
        if not text.startswith("sqlite:///") or text == "sqlite:///":
            raise ValueError("is no database URL that is known here")
        return f"sqlite:///{absolute_path(text.removeprefix('sqlite:///'))}"

    def show(self, value: str) -> str:
        return hide_credentials(value)


@dataclass(frozen=True)
class FilesUrl:
    """`file:///path`; None for the folder in the data folder. S3 is known and refused."""

    unit: str = ""
    allowed: str = "file:///ABSOLUTE/PATH inside the data folder (empty: a folder there)"

    def parse(self, text: str) -> str | None:
        if text.lower().startswith("s3:"):
            raise ValueError(f"is {NOT_YET}: S3 comes later")
        if not text.startswith("file:///") or text == "file:///":
            raise ValueError("is no file store URL that is known here")
        return f"file://{absolute_path(text.removeprefix('file://'))}"

    def show(self, value: str | None) -> str:
        return hide_credentials(value or "")


@dataclass(frozen=True)
class Scanner:
    """None; clamd is known and refused."""

    unit: str = ""
    allowed: str = "nothing in this version"

    def parse(self, text: str) -> str | None:
        if text.lower().startswith("clamd:"):
            raise ValueError(f"is {NOT_YET}: scanning for malware comes later, leave it empty")
        raise ValueError("is no scanner that is known here")

    def show(self, value: str | None) -> str:
        return hide_credentials(value or "")


def _checked_host(text: str) -> str:
    """A host name in lower case, or an IP address as the standard writes it, IPv6 in brackets."""
    host = text.lower().removesuffix(".")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        # A last label of digits is an address in a notation of the old resolvers (10.1), never a name.
        if _HOST_NAME.fullmatch(host) is None or host.rpartition(".")[2].isdigit():
            raise ValueError("names no host (write an international name in its xn-- form)") from None
        return host
    if "%" in bare:
        raise ValueError("has a zone id")
    return f"[{address}]" if address.version == 6 else str(address)
