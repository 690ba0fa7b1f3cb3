"""The OpenAPI document tells the truth, and requests made from it cannot break the service."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.service import Service

CHAT = "/oai/v1/chat/completions"
SURFACES = {"/v1/conversations": "EditorError", "/oai/": "OpenAIError"}
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}


@pytest.fixture(scope="session")
def document(running_service: Service) -> dict[str, Any]:
    response = httpx.get(running_service.url + "/v1/api/doc.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_the_document_needs_no_credential_and_has_every_surface(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    paths = set(document["paths"])
    assert paths >= {"/health", "/v1/models/{version}", "/v1/conversations", "/oai/v1/models", CHAT}


def test_every_operation_has_an_id_of_its_own_and_a_tag(document: dict[str, Any]) -> None:
    found = [operation for _, _, operation in operations(document)]
    ids = [operation["operationId"] for operation in found]
    assert len(ids) == len(set(ids))
    assert all(operation["tags"] for operation in found)


def test_the_model_call_is_described(document: dict[str, Any]) -> None:
    operation = document["paths"][CHAT]["post"]
    fields = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(fields["required"]) == {"model", "messages"}
    assert {"model", "messages", "stream"} <= set(fields["properties"])
    assert {"200", "400", "401", "403", "404", "413", "429", "502"} <= set(operation["responses"])
    assert {"application/json", "text/event-stream"} == set(operation["responses"]["200"]["content"])


def test_failures_are_described_in_the_face_of_their_path(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        for prefix, name in SURFACES.items():
            if path.startswith(prefix):
                for status, response in operation["responses"].items():
                    if status[0] in "45":
                        schema = response["content"]["application/json"]["schema"]
                        assert schema == {"$ref": f"#/components/schemas/{name}"}, (path, status)


def test_the_frameworks_own_error_is_not_promised(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    assert "ValidationError" not in document["components"]["schemas"]


def test_what_needs_a_credential_says_so_and_health_does_not(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == schemes["management"]["scheme"] == "bearer"
    for path, method, operation in operations(document):
        needed = {name for one in operation.get("security", []) for name in one}
        assert needed <= set(schemes)
        assert needed == credentials_of(path, method), path


def credentials_of(path: str, method: str) -> set[str]:
    if path.startswith("/health") or (path, method) == ("/panel/api/session", "post"):
        return set()
    if path.startswith("/panel/api/"):
        return {"management"}
    return {"timestamp", "signature"} if path == "/environments" else {"bearer", "apiKey"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for one in value.values() for found in references(one)]
        return [found for one in value for found in references(one)] if isinstance(value, list) else []

    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


# --- requests made from the document ----------------------------------------------------------------------------------

few = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize("surface", ["the editor's token", "the API key"])
def test_requests_made_from_the_document_are_answered_as_it_says(
    document: dict[str, Any], service: Service, token: dict[str, str], surface: str
) -> None:
    headers = token if surface == "the editor's token" else service.api_key_headers
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        @few
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            response = case.call(base_url=service.url, headers=headers)
            assert response.headers["x-request-id"]
            case.validate_response(response, checks=CHECKS)

        check()
