"""A chat completion request as a neutral `Call`, for providers of another format (`spec/providers.md` 15.2, 15.9).

Fields that the neutral call has no word for are ignored; what would change the answer if it were ignored is refused.
"""

import re
from typing import Annotated, Any, Literal

import msgspec

from penstock.errors import InvalidRequest
from penstock.gateway.inference.openai_messages import SentMessage, neutral_messages
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.providers.base import Call, Effort, JsonSchema, Tool

MAX_CHOICES = 4

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_EffortWord = Literal["none", "off", "minimal", "low", "medium", "high", "xhigh", "max"]
_WORDS = frozenset({"auto", "none", "required"})


class _Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, frozen=True):
    function: _Function
    type: Literal["function"] = "function"


class _Named(msgspec.Struct, frozen=True):
    name: str


class _NamedTool(msgspec.Struct, frozen=True, tag="function"):
    function: _Named


class _AllowedTools(msgspec.Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: list[_NamedTool]


class _AllowedChoice(msgspec.Struct, frozen=True, tag="allowed_tools"):
    allowed_tools: _AllowedTools


class _Schema(msgspec.Struct, frozen=True):
    schema: dict[str, Any]
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct, frozen=True, tag="text"):
    pass


class _JsonObject(msgspec.Struct, frozen=True, tag="json_object"):
    pass


class _JsonOfSchema(msgspec.Struct, frozen=True, tag="json_schema"):
    json_schema: _Schema


class _Reasoning(msgspec.Struct, frozen=True):
    effort: _EffortWord | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class _Request(msgspec.Struct, frozen=True):
    messages: list[SentMessage]
    tools: list[_Tool] | None = None
    functions: list[_Function] | None = None
    tool_choice: _NamedTool | _AllowedChoice | Literal["auto", "none", "required"] | None = None
    function_call: _Named | Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: _Text | _JsonObject | _JsonOfSchema | None = None
    reasoning_effort: _EffortWord | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    n: _Count | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None


KNOWN_FIELDS = frozenset(_Request.__struct_fields__)
"""Fields of a request that a neutral call has a word for, or that are refused."""


class AskedCall(msgspec.Struct, frozen=True):
    """A call, and how its answer is to look."""

    call: Call
    shows_reasoning: bool = True
    is_legacy: bool = False
    """Tools were given as `functions`: they are called by `function_call`, one at a time."""
    choices: int = 1


_request_of = msgspec.json.Decoder(_Request).decode
_INDEX = re.compile(r"\[(\d+)\]")


def read_call(body: bytes, thoughts: Thoughts) -> AskedCall:
    """Read a body that `read_request` has accepted. Raises InvalidRequest, with the field as `param`."""
    try:
        request = _request_of(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except RecursionError as error:
        raise InvalidRequest("The request body is too deeply nested.") from error
    _refuse_what_is_lost(request)
    reasoning = request.reasoning or _Reasoning()
    is_legacy = not request.tools and bool(request.functions)
    tools, choice = _tools(request)
    limits = (request.max_completion_tokens, request.max_tokens)
    call = Call(
        messages=neutral_messages(request.messages, thoughts),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=False if is_legacy else request.parallel_tool_calls if tools else None,
        max_output_tokens=next((limit for limit in limits if limit is not None), None),
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=request.seed,
        stop=_stops(request.stop),
        answer_format=_answer_format(request.response_format),
        reasoning=_effort(request.reasoning_effort, reasoning),
        user_ref=request.safety_identifier or request.user or None,
    )
    return AskedCall(call, not reasoning.exclude, is_legacy, request.n or 1)


def _refuse_what_is_lost(request: _Request) -> None:
    if request.logprobs or request.top_logprobs:
        raise _not_here("logprobs", "The provider of this model gives no probabilities of tokens.")
    if request.audio is not None or "audio" in (request.modalities or ()):
        raise _not_here("modalities", "The provider of this model does not answer with audio here.")
    if (request.n or 1) > MAX_CHOICES:
        raise InvalidRequest(
            f"`n` may be {MAX_CHOICES} at most for this model.",
            explanation="Its provider gives one answer to a request: more of them are as many requests.",
            action="Send the request several times.",
            param="n",
        )


def _not_here(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"`{field}` cannot be had from this model.",
        explanation=why,
        action=f"Leave `{field}` out, or use a model that has it.",
        param=field,
    )


def _tools(request: _Request) -> tuple[tuple[Tool, ...], str | None]:
    """The tools, and the word or name that chooses among them."""
    functions = [tool.function for tool in request.tools or ()] or request.functions or []
    tools = tuple(
        Tool(one.name, one.description or "", one.parameters or {"type": "object", "properties": {}}, one.strict)
        for one in functions
    )
    choice = request.tool_choice
    if choice is None and isinstance(request.function_call, _Named):
        return _only(tools, [request.function_call.name], "required", "function_call")
    match choice:
        case _NamedTool():
            return _only(tools, [choice.function.name], "required", "tool_choice")
        case _AllowedChoice():
            names = [tool.function.name for tool in choice.allowed_tools.tools]
            return _only(tools, names, choice.allowed_tools.mode, "tool_choice")
        case "required" if not tools:
            raise InvalidRequest("`tool_choice` is `required`, but there are no `tools`.", param="tool_choice")
    word = choice or (request.function_call if isinstance(request.function_call, str) else None)
    return tools, word if tools else None


def _only(tools: tuple[Tool, ...], names: list[str], mode: str, field: str) -> tuple[tuple[Tool, ...], str]:
    """A choice that allows some of the tools only. One that must be called is chosen by its name."""
    unknown = set(names) - {tool.name for tool in tools}
    if unknown or not names:
        shown = sorted(unknown)[0][:80] if unknown else ""
        raise InvalidRequest(
            f"`{field}` names `{shown}`, which is not among the tools." if unknown else f"`{field}` names no tool.",
            param=field,
        )
    if mode == "required" and len(names) == 1 and names[0] not in _WORDS:
        return tools, names[0]
    return tuple(tool for tool in tools if tool.name in names), mode


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return tuple(one for one in ([stop] if isinstance(stop, str) else stop or ()) if one)


def _answer_format(wanted: _Text | _JsonObject | _JsonOfSchema | None) -> JsonSchema | Literal["json"] | None:
    match wanted:
        case _JsonObject():
            return "json"
        case _JsonOfSchema():
            said = wanted.json_schema
            return JsonSchema(schema=said.schema, name=said.name, description=said.description, strict=said.strict)
        case _:
            return None


def _effort(word: _EffortWord | None, reasoning: _Reasoning) -> Effort | None:
    word = word or reasoning.effort
    if reasoning.enabled is False or word == "none":
        return "off"
    if word is not None:
        return word
    if reasoning.max_tokens is not None:
        return _effort_of_budget(reasoning.max_tokens)
    return "medium" if reasoning.enabled else None


def _effort_of_budget(tokens: int) -> Effort:
    """As on the Anthropic surface (`spec/providers.md` 15.4)."""
    if tokens == 0:
        return "off"
    levels: tuple[tuple[int, Effort], ...] = ((1024, "minimal"), (4096, "low"), (12288, "medium"), (24576, "high"))
    return next((effort for most, effort in levels if tokens <= most), "xhigh")


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """The decoder says what it expected, and where: `… - at `$.messages[0].role``."""
    what, _, place = str(error).partition(" - at `$")
    param = _INDEX.sub(r".\1", place.rstrip("`")).lstrip(".")
    missing = re.match(r"Object missing required field `(.+)`$", what)
    if missing:
        param = f"{param}.{missing[1]}" if param else missing[1]
        return InvalidRequest(f"`{param}` is missing.", param=param)
    what = what[:1].lower() + what[1:]
    return InvalidRequest(f"`{param}` cannot be used: {what}.", param=param or None)
