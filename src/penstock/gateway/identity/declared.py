"""Environments that are given with their keys: `BOOTSTRAP_ENVIRONMENTS` (W-07), and the signed `POST /environments`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.errors import InvalidRequest
from penstock.gateway.identity.checks import checked_id, checked_name, checked_secret
from penstock.kit.secret import Secret

_MOST_TENANTS = 1_000
_MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class GivenKey:
    """An access key whose secret was made elsewhere. Without an id it is known by its secret."""

    secret: Secret = field(repr=False)
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class DeclaredTenant:
    """What has to be there. Keys that it does not name stay as they are."""

    id: str
    name: str | None = None
    keys: tuple[GivenKey, ...] = ()


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    secret: str
    id: str | None = None
    name: str | None = None


class _Tenant(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    id: str
    name: str | None = None
    access_keys: list[_Key] = []


def read_declared(text: str) -> tuple[DeclaredTenant, ...]:
    """`[{"id", "name", "accessKeys": [{"id", "name", "secret"}]}]`. Raises ValueError, which repeats no value."""
    try:
        found = msgspec.json.decode(text, type=list[_Tenant])
    except msgspec.ValidationError as error:
        raise ValueError(f"does not have the right shape: {str(error)[:1].lower()}{str(error)[1:]}") from None
    except msgspec.DecodeError:
        raise ValueError("is not valid JSON") from None
    if len(found) > _MOST_TENANTS:
        raise ValueError(f"has more than {_MOST_TENANTS} environments")
    if len({one.id for one in found}) < len(found):
        raise ValueError("has the same id twice")
    return tuple(_tenant(one, place) for place, one in enumerate(found))


def _tenant(one: _Tenant, place: int) -> DeclaredTenant:
    if len(one.access_keys) > _MOST_KEYS:
        raise ValueError(f"has more than {_MOST_KEYS} keys at [{place}].accessKeys")
    try:
        keys = [checked_given(key.secret, key.id, key.name) for key in one.access_keys]
        return DeclaredTenant(checked_id(one.id), _name(one.name), _without_repeats(keys))
    except InvalidRequest as error:
        raise ValueError(f"is not usable at [{place}].{error.param}: {error.explanation}".rstrip(".")) from None


def checked_given(secret: str, key_id: str | None = None, name: str | None = None) -> GivenKey:
    """Raises InvalidRequest."""
    return GivenKey(Secret(checked_secret(secret)), None if key_id is None else checked_id(key_id), _name(name))


def _name(text: str | None) -> str | None:
    return None if text is None else checked_name(text)


def _without_repeats(keys: Sequence[GivenKey]) -> tuple[GivenKey, ...]:
    found: dict[Any, GivenKey] = {key.id or key.secret.reveal(): key for key in keys}
    return tuple(found.values())
