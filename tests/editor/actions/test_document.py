"""What the API document says of actions and reviews."""

from typing import Any

import httpx
import pytest

from tests.service import Service


@pytest.fixture(scope="module")
def operations(running_service: Service) -> dict[str, Any]:
    paths = httpx.get(running_service.url + "/v1/api/doc.json").json()["paths"]
    return {path: methods["post"] for path, methods in paths.items() if "post" in methods}


@pytest.mark.parametrize(
    ("family", "tag", "events"),
    [
        ("actions", "Actions", ["ActionMetadata", "ModificationDelta", "Failed", "Done"]),
        ("reviews", "Reviews", ["ReviewMetadata", "ReviewDelta", "Failed", "Done"]),
    ],
)
def test_requests_and_events_are_described(
    operations: dict[str, Any], family: str, tag: str, events: list[str]
) -> None:
    for path in (f"/v1/{family}/system/{{name}}/calls", f"/v1/{family}/custom/calls", f"/v1/{family}/{{name}}"):
        operation = operations[path]
        assert operation["tags"] == [tag]
        assert operation["requestBody"]["content"]["application/json"]["schema"]
        (kind,) = operation["responses"]["200"]["content"]
        assert kind == "text/event-stream"
        described = operation["responses"]["200"]["content"][kind]["schema"]["anyOf"]
        assert sorted(one["title"] for one in described) == sorted(events)
        assert all(one["description"] for one in described)
