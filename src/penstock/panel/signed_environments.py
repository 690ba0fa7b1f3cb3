"""`POST /environments`: what the sibling product's own tools call, signed instead of signed in (6.16, T-30)."""

import hmac

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from penstock.errors import InvalidRequest
from penstock.gateway.identity.declared import checked_given
from penstock.gateway.identity.service import Identity
from penstock.kit.clock import Clock, iso
from penstock.kit.crypto import keyed_hash
from penstock.kit.secret import Secret
from penstock.panel.attempts import Attempts
from penstock.panel.audit import audit
from penstock.panel.base import PanelServices
from penstock.panel.errors import NoManagementSecret, Replayed, WrongManagementSecret, WrongSignature
from penstock.panel.gate import Gate
from penstock.panel.management_api import uncached

WITHIN_S = 300.0
_MOST_KEYS = 100


class _Key(msgspec.Struct):
    value: str
    name: str | None = None


class _Body(msgspec.Struct, rename="camel"):
    """`organizationId`, `apiSecret` and `services` are the sibling's own; they say nothing here."""

    id: str
    name: str | None = None
    access_keys: list[_Key] = []


def signed_routes(gate: Gate, services: PanelServices) -> APIRouter:
    router = APIRouter(tags=["Management"], dependencies=[Depends(gate.from_here), Depends(uncached)])
    identity = services.identity
    signatures = _Signatures(services, gate.attempts)

    @router.post(
        "/environments",
        status_code=201,
        operation_id="create_signed_environment",
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}},
            "security": [{"timestamp": [], "signature": []}],
        },
    )
    async def create(request: Request) -> Response:
        """Make an environment with the access keys it is given.

        `X-CS-Timestamp` has milliseconds since the epoch; `X-CS-Signature` the hexadecimal HMAC-SHA256, keyed with the
        management secret, of the method, the path with its query, the timestamp and the body, one after the other.
        """
        body = await request.body()
        address = gate.address(request)
        await signatures.check(request, body, address)
        made = await _create(identity, _read(body))
        audit(request, "signed request", "environment created", address, tenantId=str(made["id"]))
        return JSONResponse(made, 201)

    return router


class _Signatures:
    def __init__(self, services: PanelServices, attempts: Attempts) -> None:
        self._secret: Secret | None = services.management_secret
        self._clock: Clock = services.clock
        self._leases, self._attempts = services.coordination.leases, attempts

    async def check(self, request: Request, body: bytes, address: str) -> None:
        """Raises NoManagementSecret, WrongSignature, TooManyAttempts, Replayed; Unavailable when replays cannot be
        told apart for now."""
        if self._secret is None:
            raise NoManagementSecret
        stamp, signature = request.headers.get("x-cs-timestamp", ""), request.headers.get("x-cs-signature", "")
        signed = request.method.encode() + _path(request) + stamp.encode() + body
        expected = keyed_hash(self._secret.reveal().encode(), signed).hex()
        await self._judge(address, is_right=hmac.compare_digest(expected.encode(), signature.encode()))
        self._check_time(stamp)
        # Kept for as long as the timestamp would be accepted, at both ends.
        if await self._leases.acquire(f"panel:signature:{signature}", 2 * WITHIN_S) is None:
            raise Replayed

    async def _judge(self, address: str, *, is_right: bool) -> None:
        try:
            await self._attempts.judge(address, is_right=is_right)
        except WrongManagementSecret as error:
            raise WrongSignature(
                "The signature does not fit the request.",
                explanation="X-CS-Signature has to be the lower-case hexadecimal HMAC-SHA256, keyed with the "
                "management secret, of method + path with query + X-CS-Timestamp + body, exactly as sent.",
                action="Sign the bytes that are sent; a proxy must not change path or body.",
            ) from error

    def _check_time(self, stamp: str) -> None:
        now_s = self._clock.now().timestamp()
        apart_s = now_s - int(stamp) / 1000 if stamp.isascii() and stamp.isdecimal() and len(stamp) < 16 else None
        if apart_s is not None and abs(apart_s) <= WITHIN_S:
            return
        found = "no milliseconds since the epoch" if apart_s is None else f"{abs(apart_s):.0f} s from our clock"
        raise WrongSignature(
            "The timestamp is not accepted.",
            explanation=f"X-CS-Timestamp is {found}, which says {iso(self._clock.now())}; "
            f"{WITHIN_S:.0f} s of difference are allowed.",
            action="Send the present time in milliseconds, and compare the clocks of the two servers.",
        )


async def _create(identity: Identity, body: _Body) -> dict[str, object]:
    keys = [checked_given(key.value, name=key.name) for key in body.access_keys]
    tenant = await identity.create_tenant(body.name, body.id, keys)
    made = await identity.access_keys(tenant.id)
    return {
        "id": tenant.id,
        "name": tenant.name,
        "createdAt": iso(tenant.created_at),
        "accessKeys": [{"id": key.id, "name": key.name} for key in made],
    }


def _read(body: bytes) -> _Body:
    try:
        found = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            "The body is not an environment.",
            explanation=f"{error}.",
            action='Send JSON: {"id": "…", "name": "…", "accessKeys": [{"value": "…"}]}.',
        ) from None
    if len(found.access_keys) > _MOST_KEYS:
        raise InvalidRequest(f"At most {_MOST_KEYS} access keys are accepted.", param="accessKeys")
    return found


def _path(request: Request) -> bytes:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope["query_string"]
    return raw.partition(b"?")[0] + (b"?" + query if query else b"")


_SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "name": {"type": "string", "maxLength": 100},
        "accessKeys": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["value"],
                "properties": {
                    "name": {"type": "string", "maxLength": 100},
                    "value": {"type": "string", "minLength": 10, "maxLength": 120},
                },
            },
        },
    },
}
