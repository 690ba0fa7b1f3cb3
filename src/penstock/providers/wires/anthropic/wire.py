"""The wire of `POST /v1/messages`: Anthropic's own, and its models at Vertex AI.

Requests follow `spec/providers.md` 6.3, 6.4 and 8.4. What a model does not accept is left out. Answers are read by
`reader.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Call, Delta, Exchange, Quirks, Reader, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.anthropic.caching import WORTH_CACHING_CHARS, chars_in
from penstock.providers.wires.anthropic.families import Family, family_of, thinking_fields
from penstock.providers.wires.anthropic.lessons import amended
from penstock.providers.wires.anthropic.messages import WIRE_NAME, Turn, system_of, thinks_in_tool_loop, turns_of
from penstock.providers.wires.anthropic.reader import MessagesReader
from penstock.providers.wires.anthropic.refusals import refusal
from penstock.providers.wires.anthropic.tools import (
    Form,
    asked_kindly,
    choice_of,
    form_of,
    is_forced,
    tools_of,
)
from penstock.providers.wires.tool_names import names_of

PATH = "/v1/messages"

_VERSION = "2023-06-01"
_WITHOUT_SAMPLING = "2026-10-21"
_UNKNOWN_MAX_OUTPUT = 4096
_LEAST_TOP_P_WHILE_THINKING = 0.95
_CACHED = {"type": "ephemeral"}


class Anthropic:
    name = WIRE_NAME
    lacks: frozenset[str] = frozenset({"seed", "presence_penalty", "frequency_penalty"})

    def request(self, call: Call, model: str, quirks: Quirks) -> Exchange:
        body = encode_json(body_of(call, model, quirks))
        return Exchange(PATH, body, () if quirks.model_in_path else _headers(quirks))

    def reader(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
        one_call: bool = False,
    ) -> Reader[Sequence[Delta]]:
        return MessagesReader(model=model, content_type=content_type, tools=tools, sent_bytes=sent_bytes)

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return refusal(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        return amended(error, model, quirks)


WIRE = Anthropic()


def _headers(quirks: Quirks) -> tuple[Header, ...]:
    version = (b"anthropic-version", (quirks.format_version or _VERSION).encode())
    if not quirks.betas:
        return (version,)
    return version, (b"anthropic-beta", ",".join(quirks.betas).encode())


def body_of(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    """The body of a request. Raises Unsupported."""
    family = family_of(model)
    names = names_of(call)
    prefill = family.prefill and "prefill" not in quirks.dropped
    turns = turns_of(call.messages, names, model, quirks, prefill=prefill)
    form = form_of(call, family, quirks)
    tools = tools_of(call, names, family, form, quirks)
    choice = choice_of(call, names, form) if tools else None
    system = system_of(call.messages)
    if form.instruction is not None:
        system.append(form.instruction)

    can_be_forced = "tool_choice" not in quirks.dropped
    thinking = thinking_fields(
        model,
        call.reasoning,
        _max_tokens(call, family, quirks),
        quirks,
        forces_tool=is_forced(choice) and can_be_forced,
    )
    if thinking.thinking and "budget_tokens" in thinking.thinking and not thinks_in_tool_loop(turns):
        thinking = thinking_fields(model, "off", thinking.max_tokens, quirks)
    if choice is not None and is_forced(choice) and (thinking.is_on or not can_be_forced):
        choice, sentence = asked_kindly(choice)
        system.append(sentence)

    body: dict[str, Any] = {} if quirks.model_in_path else {"model": model}
    body["max_tokens"] = thinking.max_tokens
    body |= _conversation(system, turns, quirks)
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    body |= _sampling(call, family, quirks, is_thinking=thinking.is_on)
    if thinking.thinking is not None:
        body["thinking"] = thinking.thinking
    if output := _output_config(thinking.effort, form):
        body["output_config"] = output
    if call.user_ref is not None and "metadata" not in quirks.dropped:
        body["metadata"] = {"user_id": call.user_ref}
    body["stream"] = True
    if quirks.model_in_path:
        body["anthropic_version"] = quirks.format_version or _VERSION
        if quirks.betas:
            body["anthropic_beta"] = list(quirks.betas)
    if call.extra:
        body |= call.extra
    return body


def _max_tokens(call: Call, family: Family, quirks: Quirks) -> int:
    """The format demands a limit. Without one of the caller's: the most that the model gives."""
    most = quirks.max_output
    if call.max_output_tokens is not None:
        return call.max_output_tokens if most is None else min(call.max_output_tokens, most)
    return _UNKNOWN_MAX_OUTPUT if "max_tokens" in quirks.dropped else most or family.max_output


def _sampling(call: Call, family: Family, quirks: Quirks, *, is_thinking: bool) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if family.sampling != "none" and (quirks.format_version or _VERSION) != _WITHOUT_SAMPLING:
        if call.temperature is not None and not is_thinking:
            wanted["temperature"] = min(max(call.temperature, 0.0), 1.0)
        takes_top_p = family.sampling == "both" or "temperature" not in wanted
        if call.top_p is not None and takes_top_p:
            top_p = min(max(call.top_p, 0.0), 1.0)
            if not is_thinking or top_p >= _LEAST_TOP_P_WHILE_THINKING:
                wanted["top_p"] = top_p
    stops = [stop for stop in call.stop if stop.strip()]
    if stops:
        wanted["stop_sequences"] = stops
    return {name: value for name, value in wanted.items() if name not in quirks.dropped}


def _output_config(effort: str | None, form: Form) -> Mapping[str, Any]:
    output: dict[str, Any] = {}
    if effort is not None:
        output["effort"] = effort
    if form.schema is not None:
        output["format"] = {"type": "json_schema", "schema": form.schema}
    return output


# --- the conversation, and what of it is kept by the provider for the next call --------------------------------------


def _conversation(system: Sequence[str], turns: Sequence[Turn], quirks: Quirks) -> dict[str, Any]:
    """`system` and `messages`. The end of a long prefix is marked, so that the next call reads it from the cache."""
    body: dict[str, Any] = {}
    may_cache = "cache_control" not in quirks.dropped
    size = sum(map(len, system))
    if system:
        body["system"] = "\n\n".join(system)
        if may_cache and size >= WORTH_CACHING_CHARS:
            blocks = [{"type": "text", "text": text} for text in system]
            body["system"] = [*blocks[:-1], blocks[-1] | {"cache_control": _CACHED}]
    history = turns[:-1]
    if may_cache and history and size + sum(chars_in(turn.content) for turn in history) >= WORTH_CACHING_CHARS:
        content = history[-1].content
        content[-1] = content[-1] | {"cache_control": _CACHED}
    body["messages"] = [msgspec.structs.asdict(turn) for turn in turns]
    return body
