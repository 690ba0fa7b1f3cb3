"""What an operator reads when a provider refuses: what happened, why in this installation's names, what to do."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from penstock.errors import UpstreamError
from penstock.providers.failures import explain_for
from penstock.providers.vendors import load_wire

AZURE = {"resourceName": "acme-ai", "apiVersion": "2024-10-21"}
BEDROCK = {"region": "eu-central-1"}
VERTEX = {"project": "acme-prod", "location": "europe-west4"}


class Refused(NamedTuple):
    """A provider's answer, as it comes over the wire, and what must stand in the three sentences."""

    wire: str
    type: str
    status: int
    body: Any
    message: tuple[str, ...]
    explanation: tuple[str, ...]
    action: tuple[str, ...]
    details: Mapping[str, str] = {}
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = "some-model"
    key_hint: str | None = "9f3c"


def google(status: int, code: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": code, "details": list(details)}}


def reason(word: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word, "domain": "googleapis.com"}


def aws(kind: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/".encode()),)


REFUSALS: dict[str, Refused] = {
    "s040 OpenAI": Refused(
        "openai_chat",
        "openai",
        401,
        {"error": {"message": "Incorrect API key provided: sk-proj-ab******9f3c. You can find …", "code": "x"}},
        ("Incorrect API key provided: ***",),
        ("`main`", "`9f3c`"),
        ("Replace that key",),
    ),
    "s040 Anthropic": Refused(
        "anthropic",
        "anthropic",
        401,
        {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}},
        ("Incorrect API key provided", "invalid x-api-key"),
        ("`main`", "`9f3c`"),
        ("Replace that key",),
    ),
    "s040 Google": Refused(
        "gemini",
        "google",
        400,
        google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason("API_KEY_INVALID")),
        ("Incorrect API key provided", "API key not valid"),
        ("`main`", "`9f3c`"),
        ("Replace that key",),
    ),
    "s042 access to a model on Bedrock": Refused(
        "bedrock",
        "bedrock",
        403,
        {"message": "You don't have access to the model with the specified model ID."},
        ("AccessDeniedException", "You don't have access"),
        ("`eu-central-1`", "`some-model`"),
        ("Model access", "`eu-central-1`", "bedrock:InvokeModelWithResponseStream", "bedrock:Converse"),
        BEDROCK,
        aws("AccessDeniedException"),
    ),
    "s043 no way to pay on the Marketplace": Refused(
        "bedrock",
        "bedrock",
        403,
        {"message": "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: A valid payment instrument must be …"},
        ("INVALID_PAYMENT_INSTRUMENT",),
        ("Marketplace",),
        ("payment method",),
        BEDROCK,
        aws("AccessDeniedException"),
    ),
    "s044 a bare model id": Refused(
        "bedrock",
        "bedrock",
        400,
        {
            "message": "Invocation of model ID anthropic.claude-sonnet-4-5-20250929-v1:0 with on-demand throughput "
            "isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."
        },
        ("ValidationException", "model invocation not supported", "inference profile"),
        ("bare id",),
        ("`eu.anthropic.claude-sonnet-4-5-20250929-v1:0`", "`eu-central-1`"),
        BEDROCK,
        aws("ValidationException"),
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    "s045 Bedrock throttles": Refused(
        "bedrock",
        "bedrock",
        429,
        {"message": "Too many requests, please wait before trying again."},
        ("ThrottlingException",),
        ("`eu-central-1`", "quotas"),
        ("Service Quotas",),
        BEDROCK,
        aws("ThrottlingException"),
    ),
    "s047 the API is switched off": Refused(
        "gemini",
        "vertex",
        403,
        google(
            403,
            "PERMISSION_DENIED",
            "Vertex AI API has not been used in project acme-prod before or it is disabled.",
            reason("SERVICE_DISABLED"),
        ),
        ("SERVICE_DISABLED", "Vertex AI API has not been used"),
        ("`acme-prod`",),
        ("gcloud services enable aiplatform.googleapis.com --project acme-prod",),
        VERTEX,
        key_hint="bot@acme-prod.iam.gserviceaccount.com",
    ),
    "s047 an organisation's policy": Refused(
        "gemini",
        "vertex",
        403,
        google(
            403, "PERMISSION_DENIED", "Operation denied by org policy: constraints/iam.disableServiceAccountKeyCreation"
        ),
        ("iam.disableServiceAccountKeyCreation",),
        ("Blocked by organisation policy", "constraints/iam.disableServiceAccountKeyCreation"),
        ("exempt",),
        VERTEX,
        key_hint="bot@acme-prod.iam.gserviceaccount.com",
    ),
    "s047 the role is missing": Refused(
        "gemini",
        "vertex",
        403,
        google(
            403,
            "PERMISSION_DENIED",
            "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/x'.",
            reason("IAM_PERMISSION_DENIED"),
        ),
        ("aiplatform.endpoints.predict",),
        ("`acme-prod`",),
        ("roles/aiplatform.user", "serviceAccount:bot@acme-prod.iam.gserviceaccount.com"),
        VERTEX,
        key_hint="bot@acme-prod.iam.gserviceaccount.com",
    ),
    "s048 a deployment that is not there": Refused(
        "openai_chat",
        "azure",
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}},
        ("DeploymentNotFound",),
        ("`acme-ai`", "`some-model`"),
        ("exactly", "penstock providers check main"),
        AZURE,
    ),
    "s049 a wrong version or path": Refused(
        "openai_chat",
        "azure",
        404,
        {"error": {"code": "404", "message": "Resource not found"}},
        ("Not Found",),
        ("`acme-ai`", "`2024-10-21`"),
        ("`apiVersion`",),
        AZURE,
    ),
    "s050 Azure's filter": Refused(
        "openai_chat",
        "azure",
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
                "policy.",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
            }
        },
        ("content management policy",),
        ("content filter", "harmless"),
        ("higher thresholds", "`some-model`"),
        AZURE,
    ),
    "s051 an address without /v1": Refused(
        "openai_chat",
        "openai-compatible",
        404,
        b"404 page not found",
        ("Not Found",),
        ("`http://host`",),
        ("`http://host/v1`",),
    ),
    "s053 a model without tools": Refused(
        "openai_chat",
        "openai-compatible",
        400,
        {"error": {"message": "registry.ollama.ai/library/gemma does not support tools", "type": "api_error"}},
        ("does not support tools",),
        ("`some-model`", "tool template"),
        ("Choose a model with tool support",),
    ),
    "s059 a project without the model": Refused(
        "openai_chat",
        "openai",
        404,
        {
            "error": {
                "message": "The model `some-model` does not exist or you do not have access to it.",
                "code": "model_not_found",
            }
        },
        ("does not exist or you do not have access",),
        ("`some-model`", "`9f3c`"),
        ("project",),
    ),
    "s060 the free tier": Refused(
        "gemini",
        "google",
        429,
        google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
        ("exceeded your current quota",),
        ("free tier",),
        ("paid tier",),
    ),
    "s061 a key of AI Studio on Vertex": Refused(
        "gemini",
        "vertex",
        401,
        google(
            401,
            "UNAUTHENTICATED",
            "API keys are not supported by this API. Expected OAuth 2 access token or other credentials.",
        ),
        ("Expected OAuth 2 access token",),
        ("AI Studio",),
        ("`google`",),
        VERTEX,
    ),
}


def _symptom(name: str) -> str:
    return name.partition(" ")[0]


def _explained(refused: Refused) -> UpstreamError:
    body = refused.body if isinstance(refused.body, bytes) else json.dumps(refused.body).encode()
    error = load_wire(refused.wire).failure(refused.status, refused.headers, body)
    return explain_for(
        error,
        provider_key="main",
        provider_type=refused.type,
        details=refused.details,
        key_hint=refused.key_hint,
        model=refused.model,
        base_url="http://host",
    )


@pytest.mark.parametrize("name", REFUSALS, ids=lambda name: name.replace(" ", "_"))
def test_s040_to_s061_a_refusal_says_what_happened_why_and_what_to_do(name: str) -> None:
    refused = REFUSALS[name]
    error = _explained(refused)
    for part, wanted in (
        (error.message, refused.message),
        (error.explanation, refused.explanation),
        (error.action, refused.action),
    ):
        assert [one for one in wanted if one not in (part or "")] == [], f"{part!r}"


def test_every_symptom_of_a_refusing_provider_has_a_row() -> None:
    have = {_symptom(name) for name in REFUSALS}
    elsewhere = {"s041", "s046"}  # found before anything is sent: the tests of credentials
    limits = {"s052", "s054", "s055"}  # no answer at all, and a switch without effect
    assert have | elsewhere | limits == {f"s{number:03}" for number in (*range(40, 56), 59, 60, 61)}
