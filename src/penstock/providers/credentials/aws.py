"""AWS Signature Version 4 for Bedrock, by botocore's signer (`spec/providers.md` 9.3).

What is signed is what is sent: the target goes to the wire as it stands in the request, percent-encoded once, and the
signer encodes it once more. Only content-type, host and x-amz-* are signed, because proxies change the others.
One signature costs some 70 µs of CPU.
"""

import asyncio
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import import_module

from penstock.errors import UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import AwsKeys
from penstock.providers.credentials.bearer import with_headers
from penstock.providers.failures import Failure
from penstock.providers.transport.base import Header, Request

SERVICE = "bedrock"

_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "Signature expired", "Signature not yet current")
_WORTH_CORRECTING = timedelta(seconds=30)


class AwsSigner:
    """Signs at the time of `clock`, corrected by what AWS says is the time."""

    def __init__(self, region: str, clock: Clock) -> None:
        self._region = region
        self._clock = clock
        self._offset = timedelta()
        self._is_loaded = False

    async def signed(self, request: Request, keys: AwsKeys) -> Request:
        if not self._is_loaded:  # takes some 100 ms the first time
            await asyncio.to_thread(import_module, "botocore.auth")
            self._is_loaded = True
        return sign(request, keys, self._region, self._clock.now() + self._offset)

    def refused(self, error: UpstreamError) -> bool:
        """Whether our clock was wrong, and is corrected now."""
        said = f"{error.upstream_code or ''} {error.message}"
        at = _instant(error.answered_at if isinstance(error, Failure) else None)
        if at is None or not any(word in said for word in _SKEWED):
            return False
        offset = at - self._clock.now()
        if abs(offset - self._offset) < _WORTH_CORRECTING:
            return False
        self._offset = offset
        return True


class AwsKeysIdentity:
    """An Authorizer: keys that the entry itself gives. Nothing can replace them when they have expired."""

    def __init__(self, keys: AwsKeys, region: str, clock: Clock) -> None:
        self._keys = keys
        self._signer = AwsSigner(region, clock)

    @property
    def hint(self) -> str | None:
        return self._keys.access_key_id[-4:]

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return ()  # all of them are the entry's

    async def authorize(self, request: Request) -> Request:
        return await self._signer.signed(request, self._keys)

    def refused(self, error: UpstreamError) -> bool:
        return self._signer.refused(error)


def sign(request: Request, keys: AwsKeys, region: str, now: datetime) -> Request:
    """`request` with its signature. `now` is UTC."""
    from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
    from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]

    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    token = keys.session_token
    ours: list[Header] = [(b"x-amz-date", stamp.encode())]
    if token is not None:
        ours.append((b"x-amz-security-token", token.reveal().encode()))
    unsigned = with_headers(request, tuple(ours))
    to_sign = AWSRequest(
        method=request.method.decode(),
        url=_url(request),
        headers={name.decode(): value.decode("latin-1") for name, value in unsigned.headers if _is_signed(name)},
        data=request.body,
    )
    to_sign.context["timestamp"] = stamp
    credentials = ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key.reveal(), None)
    signer = SigV4Auth(credentials, SERVICE, region)
    signature = signer.signature(signer.string_to_sign(to_sign, signer.canonical_request(to_sign)), to_sign)
    names = signer.signed_headers(signer.headers_to_sign(to_sign))
    value = f"AWS4-HMAC-SHA256 Credential={signer.scope(to_sign)}, SignedHeaders={names}, Signature={signature}"
    return with_headers(unsigned, ((b"authorization", value.encode()),))


def _is_signed(name: bytes) -> bool:
    return name == b"content-type" or name.startswith(b"x-amz-")


def _url(request: Request) -> str:
    origin = request.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{origin.scheme}://{host}:{origin.port}{request.target.decode()}"


def _instant(date: str | None) -> datetime | None:
    """Of an HTTP date; None for what is none."""
    try:
        found = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else None
