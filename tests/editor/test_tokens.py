"""Tokens as integrators get them wrong, through the front door: the code that the editor knows, and the reason."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.editor.conftest import Editor, Tenant
from tests.fakes.editor_client import EditorClient, Refused
from tests.service import MANAGEMENT_SECRET, Service

Make = Callable[[Tenant], str]


def token(tenant: Tenant, *, key: Any = None, algorithm: str = "HS256", **changes: Any) -> str:
    """A token with some claims changed, or left out with `...`."""
    claims = {name: value for name, value in (tenant.claims() | changes).items() if value is not ...}
    return jwt.encode(claims, tenant.secret if key is None else key, algorithm=algorithm)


def from_now(seconds: float) -> int:
    return int(time.time() + seconds)


def rs256(tenant: Tenant) -> str:
    return token(tenant, key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256")


@pytest.mark.parametrize(
    ("make", "code", "reason"),
    [
        pytest.param(lambda of: token(of, key="x" * 60), "invalid-jwt-signature", "Tried 1 active", id="s021"),
        pytest.param(
            lambda of: token(of, key=MANAGEMENT_SECRET), "invalid-jwt-signature", "management secret", id="s020"
        ),
        pytest.param(rs256, "invalid-jwt-signature", "names `RS256`; expected `HS256`", id="s022"),
        pytest.param(
            lambda of: token(of, key="", algorithm="none"), "invalid-jwt-signature", "names `none`", id="no signature"
        ),
        pytest.param(lambda of: token(of, aud=[of.id]), "invalid-jwt-payload", "`aud` is an array", id="s023 array"),
        pytest.param(lambda of: token(of, aud="elsewhere"), "invalid-jwt-payload", "`elsewhere`", id="s023 unknown"),
        pytest.param(lambda of: token(of, sub=...), "invalid-jwt-payload", "`sub` is missing", id="no sub"),
        pytest.param(lambda of: token(of, exp=from_now(-62)), "invalid-jwt", "expired", id="s024 expired"),
        pytest.param(lambda of: token(of, iat=from_now(90)), "invalid-jwt", "ahead", id="s024 early"),
        pytest.param(lambda of: "some-random-text", "invalid-jwt", "neither an API key", id="s028"),
    ],
)
def test_t_06_a_wrong_token_is_refused_with_its_code_and_its_reason(
    service: Service, tenant: Tenant, make: Make, code: str, reason: str
) -> None:
    with EditorClient(service.url, {"Authorization": f"Bearer {make(tenant)}"}) as editor:
        for attempt in (editor.models, editor.history, lambda: editor.said("none", "Hi")):
            with pytest.raises(Refused) as refused:
                attempt()
            body = refused.value.body
            assert (refused.value.status, body["code"]) == (401, code)
            assert reason in body["explanation"]
            assert tenant.secret not in str(body)
            assert MANAGEMENT_SECRET not in str(body)


def test_t_06_a_minute_of_skew_is_forgiven(service: Service, tenant: Tenant) -> None:
    late = token(tenant, iat=from_now(-3600), exp=from_now(-50))
    early = token(tenant, iat=from_now(50))
    for one in (late, early):
        with EditorClient(service.url, {"Authorization": f"Bearer {one}"}) as editor:
            assert editor.start() == "agent-1"


def test_t_06_permissions_as_a_string_show_the_models_and_allow_none(editors: Editor) -> None:
    made = editors("t-06").create()
    editor = editors("t-06", permissions="ai:conversations:*")
    assert [item["allowed"] for item in editor.models()["items"]] == [False, False, False]
    with pytest.raises(Refused) as refused:
        editor.said(made, "Hi")
    assert (refused.value.status, refused.value.body["code"]) == (403, "missing-permissions")
    assert refused.value.body["message"] == "No permissions to the resource"
    assert "the string `ai:conversations:*`" in refused.value.body["explanation"]


def test_s025_a_new_environment_and_a_new_key_work_at_once(service: Service) -> None:
    with EditorClient(service.url, Tenant(service).headers()) as editor:
        assert editor.said(editor.create(), "Hi").names[-1] == "done"
