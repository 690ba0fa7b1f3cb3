"""What the operator should do at the clouds, whose refusals need more than a key: regions, projects, deployments."""

import re
from collections.abc import Callable, Mapping, Sequence

from penstock.providers.failures.kinds import (
    ContentFiltered,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    NoUsableKey,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    UpstreamNotFound,
)
from penstock.providers.failures.place import Advice, Place

_BEDROCK_ACTIONS = (
    "`bedrock:InvokeModel`, `bedrock:InvokeModelWithResponseStream`, `bedrock:Converse` and `bedrock:ConverseStream`"
)
_CONSTRAINT = re.compile(r"(?:constraints/)?\biam\.[A-Za-z.]+|constraints/[A-Za-z.]+")


def cloud_advice(error: Failure, place: Place) -> Advice | None:
    """Explanation and action for one of the clouds; None where the usual ones say all there is to say."""
    if isinstance(error, NoUsableKey):
        return None
    for kind, word, give in _ADVICE.get(place.type, ()):
        if isinstance(error, kind) and (word is None or word in f"{error.upstream_code} {error.message}"):
            return give(error, place)
    return None


# --- Bedrock ---------------------------------------------------------------------------------------------------------


def _aws_credentials(_: Failure, place: Place) -> Advice:
    return (
        f"AWS does not accept {place.credential} of {place.entry} in `{place.region}`.",
        "Check `accessKeyId`, `secretAccessKey` and, for temporary credentials, a fresh `sessionToken`. A wrong clock "
        "of this machine refuses good ones too.",
    )


def _bedrock_access(_: Failure, place: Place) -> Advice:
    return (
        f"The identity of {place.entry} may not call `{place.model}` in `{place.region}`.",
        f"Enable access to the model in the Bedrock console of `{place.region}` (Model access), and allow the actions "
        f"{_BEDROCK_ACTIONS} to the identity. A new grant takes some minutes.",
    )


def _bedrock_payment(_: Failure, place: Place) -> Advice:
    return (
        f"AWS Marketplace sells `{place.model}`, and the account of {place.entry} has no valid way to pay there.",
        "Add a payment method to the AWS account, and subscribe to the model in the Bedrock console of "
        f"`{place.region}`. It takes some minutes to count.",
    )


def _bare_model_id(_: Failure, place: Place) -> Advice:
    from penstock.providers.wires.bedrock.families import profile_prefixes

    ids = " or ".join(f"`{prefix}{place.model}`" for prefix in profile_prefixes(place.region))
    return (
        f"`{place.model}` cannot be called by its bare id: AWS serves it through inference profiles only.",
        f"Set the `id` in MODELS to the profile's: {ids} for `{place.region}`. A profile may answer from other regions "
        "of its area.",
    )


def _bedrock_throttled(error: Failure, place: Place) -> Advice:
    return (
        f"AWS limits how much {place.credential} may ask of `{place.model}` in `{place.region}`. New accounts begin "
        "with very low quotas.",
        f"{wait(error)} Raise the model's quota in Service Quotas of `{place.region}`, or add credentials of another "
        "account.",
    )


def _bedrock_model(_: Failure, place: Place) -> Advice:
    return (
        f"Bedrock has no model `{place.model}` in `{place.region}`, or its life has ended there.",
        "Check the `id` in MODELS against the model catalog of that region; newer models need a profile's id "
        "(`us.`, `eu.`, `global.` before it).",
    )


# --- Google ----------------------------------------------------------------------------------------------------------


def _bad_grant(error: Failure, place: Place) -> Advice:
    if "iat" in error.message or "short-lived" in error.message:
        return (
            f"Google finds the time of the token for {place.credential} wrong.",
            "Set the clock of this machine.",
        )
    return (
        f"Google does not accept the signature of {place.credential}: its private key is damaged, replaced or deleted.",
        f"Paste `private_key` of the service account's JSON file into `privateKey` of {place.entry} as it is, with its "
        "`\\n`; or make a new key.",
    )


def _service_disabled(_: Failure, place: Place) -> Advice:
    api = "aiplatform.googleapis.com" if place.type == "vertex" else "generativelanguage.googleapis.com"
    project = place.details.get("project")
    at = f" --project {project}" if project else ""
    name = "Vertex AI API" if place.type == "vertex" else "Generative Language API"
    return (
        f"The {name} is switched off in the project{f' `{project}`' if project else ''} of {place.entry}.",
        f"Run `gcloud services enable {api}{at}`, and wait some minutes.",
    )


def _organisation_policy(error: Failure, place: Place) -> Advice:
    found = _CONSTRAINT.search(error.message)
    policy = f"`{found[0]}`" if found else "a policy"
    return (
        f"Blocked by organisation policy: {policy} of the organisation forbids this to the project of {place.entry}.",
        f"Ask the organisation's administrators to exempt the project from {policy}; where keys of service accounts "
        "are forbidden, leave `credentials` out and give the service an identity of the platform.",
    )


def _vertex_permission(_: Failure, place: Place) -> Advice:
    project = place.details.get("project", "PROJECT")
    return (
        f"The identity of {place.entry} may not call `{place.model}` in the project `{project}`.",
        f"Grant it the role: `gcloud projects add-iam-policy-binding {project} --member serviceAccount:"
        f"{place.key_hint or 'ACCOUNT'} --role roles/aiplatform.user`. A new grant takes some minutes.",
    )


def _studio_key_on_vertex(_: Failure, place: Place) -> Advice:
    return (
        f"Vertex AI does not accept {place.credential}: keys of Google AI Studio are for the Gemini API only.",
        f"Change the `type` of {place.entry} to `google`, or give it `credentials` of a service account.",
    )


def _vertex_model(_: Failure, place: Place) -> Advice:
    location = place.details.get("location", "?")
    return (
        f"Vertex AI has no `{place.model}` in `{location}`, or the project `{place.details.get('project', '?')}` may "
        "not use it.",
        "The newest models are served from `global`, `us` or `eu` only: check `location`. Models of partners must be "
        "enabled in Model Garden first.",
    )


def _gemini_model(_: Failure, place: Place) -> Advice:
    return (
        f"The Gemini API does not know `{place.model}`, or not for chats.",
        "Check the `id` in MODELS; `penstock providers check` lists the models that the key can see.",
    )


def _gemini_quota(error: Failure, place: Place) -> Advice:
    return (
        f"Google limits how much {place.credential} of {place.entry} may ask. Projects without billing are on the free "
        "tier, which allows a few requests a minute and a few hundred a day.",
        f"{wait(error)} Move the key's project to a paid tier in AI Studio, or add keys of other projects.",
    )


def _vertex_quota(error: Failure, place: Place) -> Advice:
    return (
        f"Vertex AI has no capacity left for the project `{place.details.get('project', '?')}` in "
        f"`{place.details.get('location', '?')}`; new projects may send few requests a second.",
        f"{wait(error)} Raise the quota of the model in the project, use `global` as `location`, or add another "
        "backend.",
    )


def _gemini_location(_: Failure, place: Place) -> Advice:
    return (
        f"Google does not serve {place.credential} of {place.entry} from here, or its project has no billing.",
        "Enable billing for the project; where the Gemini API is not offered, use `vertex`.",
    )


# --- Azure -----------------------------------------------------------------------------------------------------------


def _azure_deployment(_: Failure, place: Place) -> Advice:
    return (
        f"The resource {place.resource} has no deployment `{place.model}`. On Azure a model is called by the name of "
        "its deployment.",
        f"Set the `id` in MODELS to the deployment's name, exactly. `penstock providers check {place.provider_key}` "
        "lists the deployments. A new deployment takes some minutes.",
    )


def _azure_path(_: Failure, place: Place) -> Advice:
    return (
        f"Azure does not know this path at {place.resource}, with `{place.details.get('apiVersion', '?')}` as "
        "`apiVersion`.",
        f"Check `resourceName` and `apiVersion` of {place.entry}: a dated version that exists, or `v1`.",
    )


def _azure_key(_: Failure, place: Place) -> Advice:
    return (
        f"Azure refused {place.credential} of {place.entry}: it is not a key of the resource {place.resource}, or was "
        "replaced.",
        "Copy one of the two keys of that resource, and check `resourceName`.",
    )


def _azure_network(_: Failure, place: Place) -> Advice:
    return (
        f"The resource {place.resource} does not let this service in: its firewall, a private network, or keys are "
        "switched off there.",
        "Allow the address of this service in the resource's network settings; where keys are disabled, remove "
        f"`apiKeys` of {place.entry} and give the service a managed identity.",
    )


def _azure_filter(_: Failure, place: Place) -> Advice:
    return (
        "Azure's content filter refused this text. It is stricter than other providers', and strikes harmless texts.",
        "Word it differently. If it happens often with harmless texts, give the deployment "
        f"`{place.model}` a content filter with higher thresholds.",
    )


def wait(error: Failure) -> str:
    return f"Ask again in {error.retry_after_s:.0f} s." if error.retry_after_s else "Ask again later."


_Row = tuple[type[Failure], str | None, Callable[[Failure, Place], Advice]]

_BEDROCK: Sequence[_Row] = (
    (CreditExhausted, "INVALID_PAYMENT_INSTRUMENT", _bedrock_payment),
    (PermissionRefused, None, _bedrock_access),
    (CredentialsRefused, None, _aws_credentials),
    (RequestRefused, "model invocation not supported", _bare_model_id),
    (RateLimited, None, _bedrock_throttled),
    (UpstreamNotFound, None, _bedrock_model),
)
_VERTEX: Sequence[_Row] = (
    (CredentialsRefused, "invalid_grant", _bad_grant),
    (Failure, "SERVICE_DISABLED", _service_disabled),
    (PermissionRefused, "constraints/", _organisation_policy),
    (PermissionRefused, "iam.", _organisation_policy),
    (PermissionRefused, "rganization Policy", _organisation_policy),
    (CredentialsRefused, "API_KEY", _studio_key_on_vertex),
    (CredentialsRefused, "OAuth 2 access token", _studio_key_on_vertex),
    (PermissionRefused, None, _vertex_permission),
    (RateLimited, None, _vertex_quota),
    (UpstreamNotFound, None, _vertex_model),
)
_GOOGLE: Sequence[_Row] = (
    (Failure, "SERVICE_DISABLED", _service_disabled),
    (PermissionRefused, "constraints/", _organisation_policy),
    (PermissionRefused, "FAILED_PRECONDITION", _gemini_location),
    (RateLimited, None, _gemini_quota),
    (UpstreamNotFound, None, _gemini_model),
)
_AZURE: Sequence[_Row] = (
    (UpstreamNotFound, "DeploymentNotFound", _azure_deployment),
    (UpstreamNotFound, "Not Found", _azure_path),
    (UpstreamNotFound, None, _azure_deployment),
    (CredentialsRefused, None, _azure_key),
    (PermissionRefused, None, _azure_network),
    (ContentFiltered, None, _azure_filter),
)
_ADVICE: Mapping[str, Sequence[_Row]] = {
    "bedrock": _BEDROCK,
    "vertex": _VERTEX,
    "google": _GOOGLE,
    "azure": _AZURE,
}
