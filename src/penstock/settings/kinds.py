"""How the text of a variable becomes a value. A kind raises ValueError, whose message is for the operator.

No message repeats the text it refused: whether that may be shown depends on the variable, which a kind does not know.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from penstock.coordination.options import DEFAULT_PORT, DEFAULT_SENTINEL_PORT, RedisNode, parse_nodes

if TYPE_CHECKING:
    from penstock.gateway.identity.declared import DeclaredTenant

T = TypeVar("T")

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.ASCII)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

LOG_LEVELS: Mapping[str, int] = {
    "trace": 10,
    "debug": 20,
    "info": 30,
    "warn": 40,
    "warning": 40,
    "error": 50,
    "fatal": 60,
}


@dataclass(frozen=True)
class Kind(Generic[T]):
    """`expected` completes the sentence "expected …". In a configuration file, what `is_json` is JSON, not text."""

    expected: str
    read: Callable[[str], T]
    is_json: bool = False


def _same(text: str) -> str:
    return text


def _flag(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError("is neither true nor false") from None


def _log_level(text: str) -> int:
    named = LOG_LEVELS.get(text.lower())
    if named is not None:
        return named
    if not _WHOLE.fullmatch(text) or not 10 <= int(text) <= 60:
        raise ValueError("is not a log level")
    return int(text)


def _existing_file(text: str) -> Path:
    path = Path(text)
    try:
        with path.open("rb"):
            return path
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {reason(error)}") from error


def _directory(text: str) -> Path:
    if "\0" in text:
        raise ValueError("is not a path")
    return Path(text)


def _encryption_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if not keys or any(len(key) < 32 for key in keys):
        raise ValueError("is too short")
    return keys


def _nodes(default_port: int) -> Callable[[str], tuple[RedisNode, ...]]:
    def read(text: str) -> tuple[RedisNode, ...]:
        try:
            nodes = parse_nodes(text, default_port)
        except ValueError:
            raise ValueError("has an entry that is not host:port") from None
        if not all(0 < node.port < 65536 for node in nodes):
            raise ValueError("has a port that is out of range")
        return nodes

    return read


def _origins(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(origin(item.strip()) for item in text.split(",") if item.strip()))


def origin(item: str) -> str:
    """The origin as browsers write it: lower case, no trailing slash, no default port. Raises ValueError."""
    if item == "*":
        return item
    lowered = item.lower().rstrip("/")
    if not _ORIGIN.fullmatch(lowered):
        raise ValueError("has an entry that is not an origin")
    for scheme, port in (("https://", ":443"), ("http://", ":80")):
        if lowered.startswith(scheme):
            lowered = lowered.removesuffix(port)
    return lowered


def _address(text: str) -> str:
    if "://" not in text:
        raise ValueError("has no http:// or https:// in front")
    if any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ValueError("has a blank or a control character in it")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # an odd port is found only when it is read
    except ValueError:
        raise ValueError("has a host or a port that cannot be one") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("begins with neither http:// nor https://")
    if not host:
        raise ValueError("names no host")
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(item.strip()) for item in text.split(",") if item.strip())
    except ValueError:
        raise ValueError("has an entry that is not a network") from None


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """`Name: value, Name2: value2`, or one JSON object, which other products silently choke on (W-23)."""
    if text.lstrip().startswith("{"):
        pairs = _json_object(text)
    else:
        parts = [part for part in text.split(",") if part.strip()]
        pairs = [(name.strip(), value.strip()) for name, _, value in (part.partition(":") for part in parts)]
    if not all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) and value for name, value in pairs):
        raise ValueError("has an entry that is no header")
    return tuple(pairs)


def _json_object(text: str) -> list[tuple[str, str]]:
    try:
        return list(msgspec.json.decode(text, type=dict[str, str]).items())
    except msgspec.DecodeError:
        raise ValueError("is no JSON object of texts") from None


def _declared(text: str) -> "tuple[DeclaredTenant, ...]":
    from penstock.gateway.identity.declared import read_declared

    return read_declared(text)


def whole(low: int, high: int) -> Kind[int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError("is not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise ValueError("is out of range")
        return value

    return Kind(f"a whole number from {low} to {high}", read)


def seconds(low: float, high: float) -> Kind[float]:
    def read(text: str) -> float:
        if not _NUMBER.fullmatch(text):
            raise ValueError("is not a number")
        value = float(text)
        if not low <= value <= high:
            raise ValueError("is out of range")
        return value

    return Kind(f"a number from {low:g} to {high:g}", read)


def choice(names: Mapping[str, T]) -> Kind[T]:
    def read(text: str) -> T:
        try:
            return names[text.lower()]
        except KeyError:
            raise ValueError("is not one of the accepted words") from None

    return Kind("one of " + ", ".join(names), read)


def reason(error: Exception) -> str:
    """Why a file could not be read, without the path, which the report names anyway."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeError) else "the path is not usable"


TEXT = Kind("text", _same)
ADDRESS = Kind("an address with a host, such as https://service.example.com/path", _address)
JSON_TEXT = Kind("JSON", _same, is_json=True)
FLAG = Kind("true or false", _flag)
PORT_NUMBER = whole(1, 65535)
FILE = Kind("the path of a readable file", _existing_file)
DIRECTORY = Kind("a path", _directory)
LOG_LEVEL = Kind("a number from 10 to 60, or trace, debug, info, warn, error, fatal", _log_level)
HEADERS = Kind("headers such as `Name: value, Other: value`, or a JSON object", _headers)
NETWORKS = Kind("networks such as 10.1.0.0/16, separated by commas", _networks)
ORIGINS = Kind("origins such as https://app.example.com, separated by commas, or *", _origins)
_NODES_SHAPE = "host:port entries separated by commas, with IPv6 addresses in brackets"
CLUSTER_NODES = Kind(_NODES_SHAPE, _nodes(DEFAULT_PORT))
SENTINELS = Kind(_NODES_SHAPE, _nodes(DEFAULT_SENTINEL_PORT))
DECLARED_TENANTS = Kind("a JSON array of environments", _declared, is_json=True)
ENCRYPTION_KEYS = Kind("at least 32 characters for each key, several keys separated by commas", _encryption_keys)
