"""How calls of one model are sent: where, in which format, with which quirks."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from penstock.providers.base import Amendment, Quirks, Wire
from penstock.providers.transport.base import Origin
from penstock.providers.vendors import Vendor, Way, load_wire


class Address(msgspec.Struct, frozen=True):
    """A base URL, taken apart once. Query parameters of the base stay (some private gateways need them).

    `shown` is for people; it has no query, which may hold a key.
    """

    origin: Origin
    path: bytes
    query: bytes
    shown: str

    @classmethod
    def of(cls, base_url: str) -> "Address":
        parts = urlsplit(base_url)
        scheme = "http" if parts.scheme == "http" else "https"
        port = parts.port or (80 if scheme == "http" else 443)
        origin = Origin(scheme, parts.hostname or "", port)  # type: ignore[arg-type]
        query = b"?" + parts.query.encode() if parts.query else b""
        return cls(origin, parts.path.rstrip("/").encode(), query, base_url.partition("?")[0].rstrip("/"))

    def with_v1(self) -> "Address":
        return msgspec.structs.replace(self, path=self.path + b"/v1", shown=self.shown + "/v1")

    def target(self, path: str) -> bytes:
        """`path` may have a query of its own."""
        query = b"&" + self.query[1:] if self.query and "?" in path else self.query
        return self.path + path.encode() + query


class Manner:
    """`until` None: the vendor's usual one, which holds for ever. `is_lasting`: worth remembering for the next call."""

    __slots__ = ("_targets", "_way", "address", "is_lasting", "model", "place", "quirks", "until", "wire")

    def __init__(self, way: Way, model: str, address: Address, quirks: Quirks) -> None:
        self._way = way
        self.model = model
        self.address = address
        """The provider's base."""
        short_base = way.short_base if quirks.short_path else None
        self.place = Address.of(short_base) if short_base is not None else address
        """Where these calls go: nearly always the same."""
        self.quirks = quirks
        self.wire: Wire = load_wire(way.wire)
        self.until: float | None = None
        self.is_lasting = True
        self._targets: dict[str, bytes] = {}

    @classmethod
    def of(cls, way: Way, model: str, address: Address) -> "Manner":
        return cls(way, re.sub(way.strips, "", model) if way.strips else model, address, way.quirks)

    def at(self, address: Address) -> "Manner":
        other = Manner(self._way, self.model, address, self.quirks)
        other.until, other.is_lasting = self.until, self.is_lasting
        return other

    def amended(self, amendment: Amendment, vendor: Vendor, now: float) -> "Manner | None":
        """None when the vendor has no such format, or the operator has named another."""
        way, quirks = self._way, amendment.quirks
        if amendment.wire is not None:
            found = vendor.way_of(amendment.wire) if vendor.learns_surface else None
            if found is None:
                return None
            way, quirks = found, found.quirks
        other = Manner(way, self.model, self.address, quirks)
        other.is_lasting = self.is_lasting and amendment.lasts_s > 0
        untils = [until for until in (self.until, now + amendment.lasts_s) if until is not None]
        other.until = min(untils)
        return other

    def differences(self) -> dict[str, Any]:
        """The quirks that are not those of the vendor's row, for people."""
        usual = msgspec.structs.asdict(self._way.quirks)
        now = msgspec.structs.asdict(self.quirks)
        return {name: _plain(value) for name, value in now.items() if value != usual[name]}

    def is_like(self, other: "Manner") -> bool:
        """It would be refused for the same reason."""
        return self.wire is other.wire and self.quirks == other.quirks and self.address == other.address

    def is_elsewhere(self, other: "Manner") -> bool:
        return self._paths != other._paths or self.place != other.place

    @property
    def _paths(self) -> Mapping[str, str]:
        return self._way.short_paths if self.quirks.short_path else self._way.paths

    def target(self, path: str, details: Mapping[str, str]) -> bytes:
        """`path`, as the wire writes it, at this vendor and for this model."""
        target = self._targets.get(path)
        if target is None:
            template = self._paths.get(path, path)
            values = {name: quote(value, safe="") for name, value in details.items()}
            values["model"] = quote(self.model, safe=self._way.safe)
            filled = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)
            target = self._targets[path] = self.place.target(filled)
        return target


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value
