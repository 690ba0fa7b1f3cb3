"""MCP_SERVERS: what is read, and what a start is refused for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from penstock.editor.mcp.servers import McpServer, OAuthOptions, parse_servers
from penstock.gateway.catalog.documents import Refused
from penstock.gateway.catalog.snapshot import Problem
from penstock.kit.secret import Secret
from penstock.settings import Settings
from penstock.settings.report import place
from tests.settings.reports import errors, load, refusal, warnings

CRM = {
    "url": "https://crm.example/mcp#top",
    "headers": {"Authorization": "Bearer canary"},
    "tools": {"disabled": ["delete"]},
    "options": {"callToolTimeout": 5},
}
TICKETS = {"url": "https://tickets.example/mcp", "oauth": {"scopes": ["read write", "admin"]}}


def read(servers: Any, **environ: str) -> Settings:
    return load(MCP_SERVERS=json.dumps(servers), **environ)


def problems(servers: Any, **environ: str) -> dict[str, Problem]:
    return {one.path: one for one in refusal(MCP_SERVERS=json.dumps(servers), **environ).problems}


def test_every_field_of_a_server_is_read() -> None:
    (crm,) = read({"crm": CRM}).mcp_servers
    assert crm == McpServer(
        name="crm",
        url="https://crm.example/mcp",
        headers=(("authorization", Secret("Bearer canary")),),
        disabled=frozenset({"delete"}),
        call_timeout_s=5,
    )
    assert "canary" not in repr(crm)


def test_without_options_a_call_may_take_a_minute_and_there_are_no_servers_unless_some_are_named() -> None:
    (plain,) = read({"plain": {"url": "http://10.0.0.1:3000/mcp?key=canary"}}).mcp_servers
    assert (plain.call_timeout_s, plain.headers, plain.oauth) == (60, (), None)
    assert "canary" not in repr(plain)
    assert load().mcp_servers == ()


def test_the_page_to_come_back_to_is_the_servers_own_or_that_of_all() -> None:
    page = "https://app.example/back"
    own = {**TICKETS, "oauth": {"callbackUrl": "https://app.example/own", "clientId": "us", "clientSecret": "canary"}}
    settings = read({"tickets": TICKETS, "own": own}, MCP_OAUTH_CALLBACK_URL=page)
    tickets, mine = settings.mcp_servers
    assert settings.mcp_callback_url == page
    assert tickets.oauth == OAuthOptions(callback_url=page, scopes=("read", "write", "admin"))
    assert mine.oauth == OAuthOptions(
        callback_url="https://app.example/own", client_id="us", client_secret=Secret("canary")
    )
    assert "canary" not in repr(mine)


def test_oauth_without_any_page_to_come_back_to_is_refused_at_its_place() -> None:
    (found,) = problems({"crm": CRM, "tickets": TICKETS}).values()
    assert found.path == '["tickets"].oauth'
    assert "MCP_OAUTH_CALLBACK_URL" in found.fix


def test_all_that_is_wrong_is_in_one_report_with_other_problems() -> None:
    servers = {
        "no-url": {},
        "bad/name": {"url": "https://a.example"},
        "file": {"url": "file:///etc/passwd"},
        "secretive": {"url": "https://user:canary@a.example"},
        "slow": {"url": "https://a.example", "options": {"callToolTimeout": "60"}},
        "lines": {"url": "https://a.example", "headers": {"X-Key": "canary\nX-Other: 1"}},
        "twice": {**TICKETS, "headers": {"authorization": "canary"}},
        "secret": {"url": "https://a.example", "oauth": {"clientSecret": "canary"}},
        "list": [],
    }
    found = problems(servers, PORT="x", MCP_OAUTH_CALLBACK_URL="https://app.example/back")
    assert set(found) == {
        *("", '["no-url"].url', '["bad/name"]', '["file"].url', '["secretive"].url', '["list"]'),
        *('["slow"].options.callToolTimeout', '["lines"].headers["X-Key"]', '["twice"].headers'),
        '["secret"].oauth.clientId',
    }
    assert "canary" not in repr(found)


@pytest.mark.parametrize("text", ["[]", "{", "'{}'", '"x"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    assert set(errors(MCP_SERVERS=text)) == {"MCP_SERVERS"}


def test_unknown_fields_are_warned_of_with_the_nearest_name() -> None:
    settings = read({"crm": {"url": "https://a.example", "header": {}, "options": {"callTimeout": 3}}})
    found = {one.path: one.fix for one in settings.problems}
    assert found['["crm"]["header"]'] == "Did you mean `headers`?"
    assert found['["crm"].options["callTimeout"]'] == "Did you mean `callToolTimeout`?"


def test_a_disabled_tool_under_the_name_that_models_see_is_warned_of() -> None:
    settings = read({"crm": {"url": "https://a.example", "tools": {"disabled": ["crm-delete"]}}})
    assert "bare name" in warnings(settings)["MCP_SERVERS"].fix


def test_a_callback_address_that_is_none_is_refused() -> None:
    assert set(errors(MCP_OAUTH_CALLBACK_URL="app.example/back")) == {"MCP_OAUTH_CALLBACK_URL"}


def test_a_configuration_file_holds_it_as_real_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcp_servers": {"crm": CRM}}, indent=2))
    settings = load(CS_CONFIG_PATH=str(path))
    assert [one.name for one in settings.mcp_servers] == ["crm"]
    assert next(one for one in settings.entries if one.name == "MCP_SERVERS").value == "***"
    path.write_text(json.dumps({"mcp_servers": {"crm": {}}}, indent=2))
    (found,) = (one for one in refusal(CS_CONFIG_PATH=str(path)).problems if one.severity == "error")
    assert place(found) == f'MCP_SERVERS["crm"].url ({path}, line 3, column 12)'


def test_it_may_come_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"crm": CRM}))
    assert [one.name for one in load(MCP_SERVERS_FILE=str(path)).mcp_servers] == ["crm"]


def test_the_example_of_the_page_is_accepted_without_a_remark() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    (example,) = re.findall(r"```jsonc\n(.*?)```", page, re.DOTALL)
    settings = load(MCP_SERVERS=example)
    assert [one.name for one in settings.mcp_servers] == ["crm", "tickets"]
    assert settings.problems == ()


def test_a_text_alone_is_parsed_or_refused_with_the_path() -> None:
    assert [one.name for one in parse_servers(json.dumps({"crm": CRM}))] == ["crm"]
    with pytest.raises(Refused, match=r'\["crm"\]\.url'):
        parse_servers('{"crm": {}}')
