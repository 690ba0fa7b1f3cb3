"""Where values come from: the environment, `.env`, files named by `<NAME>_FILE`, or one JSON file in place of all."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.gateway.catalog.documents import Document, Refused, Source
from penstock.gateway.catalog.snapshot import Problem
from penstock.settings.dotenv_file import read_dotenv
from penstock.settings.given import Given, error, shown, warning
from penstock.settings.kinds import reason
from penstock.settings.variables import BY_NAME

DOCUMENTS = ("PROVIDERS", "MODELS", "MCP_SERVERS", "MODERATION")
"""Structured options: JSON text in the environment, real JSON in a configuration file."""

_SUFFIX = "_FILE"
_NEAR = 0.86
_SHORTEST_GUESS = 8


class Collected(msgspec.Struct, frozen=True):
    """What all sources say. `documents` has the structured options that are set."""

    given: Mapping[str, Given]
    documents: Mapping[str, Source]
    problems: tuple[Problem, ...]


def collect(environ: Mapping[str, str], directory: Path, overrides: Mapping[str, str]) -> Collected:
    """Read every source. `overrides` (the command line) win over all others."""
    problems: list[Problem] = []
    found = read_dotenv(directory / ".env", problems)
    found |= {name: Given(text, "environment") for name, text in environ.items() if text}
    problems += _misspelt(found)
    documents: dict[str, Source] = {}
    config = found.get("CS_CONFIG_PATH")
    if config is not None:
        problems += _ignored(found)
        found = _config(config, documents, problems)
    found |= {name: Given(text, "command line") for name, text in overrides.items() if text}
    given = {name: one for name, one in _from_files(found, problems).items() if _is_text(name, one, problems)}
    for name in DOCUMENTS:
        _add_document(name, given, documents, problems)
    return Collected(given, documents, tuple(problems))


def _is_text(name: str, given: Given, problems: list[Problem]) -> bool:
    try:
        given.text.encode()
        return True
    except UnicodeEncodeError:
        problems.append(error(name, "is not UTF-8 text.", "Expected UTF-8.", given.source))
        return False


# --- one JSON file ---------------------------------------------------------------------------------------------------


def _config(config: Given, documents: dict[str, Source], problems: list[Problem]) -> dict[str, Given]:
    """The options of the file and its own path; nothing when it cannot be used, so that it is reported once."""
    path = Path(config.text)
    source = Source("CS_CONFIG_PATH", str(path), path=path)
    try:
        document = source.read()
        options = document.value()
    except Refused as refused:
        problems += refused.problems
        return {}
    if not isinstance(options, dict):
        problems.append(document.at("error", (), "is not a JSON object.", "Expected one object of options."))
        return {}
    problems += [_repeated(document, path) for path in document.repeated_keys() if len(path) == 1]
    found = {"CS_CONFIG_PATH": config}
    for key, value in options.items():
        _add_option(document, key, value, found, documents, problems)
    return found


def _repeated(document: Document, path: tuple[str | int, ...]) -> Problem:
    return document.at("warning", path, "is given more than once; the last one counts.", "Remove the others.")


def _add_option(
    document: Document,
    key: str,
    value: Any,
    found: dict[str, Given],
    documents: dict[str, Source],
    problems: list[Problem],
) -> None:
    name = key.upper()
    if not _is_known(name) or key != key.lower():
        problems.append(document.at("warning", (key,), "is not an option of this version; it is ignored.", _guess(key)))
    elif name in DOCUMENTS and isinstance(value, dict | list):
        documents[name] = Source(name, document.origin, path=Path(document.origin), root=(key,))
    elif (text := _option_text(value, is_json=name in BY_NAME and BY_NAME[name].kind.is_json)) is None:
        problems.append(document.at("error", (key,), "has the wrong shape.", "Expected text, a number, true or false."))
    elif text:
        place = document.at("info", (key,), "", "")
        found[name] = Given(text, f"CS_CONFIG_PATH {document.origin}", (place.line or 1, place.column or 1))


def _option_text(value: Any, *, is_json: bool) -> str | None:
    """As the environment would spell it; None for what it cannot spell."""
    if is_json and isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return None


def _ignored(found: Mapping[str, Given]) -> Iterator[Problem]:
    names = sorted(name for name in found if _is_known(name) and name != "CS_CONFIG_PATH")
    if names:
        message = f"is set, so these variables are ignored: {', '.join(names)}."
        yield warning("CS_CONFIG_PATH", message, "Move them into the file, or unset CS_CONFIG_PATH.", "environment")


# --- <NAME>_FILE -----------------------------------------------------------------------------------------------------


def _from_files(found: Mapping[str, Given], problems: list[Problem]) -> dict[str, Given]:
    given = {name: one for name, one in found.items() if name in BY_NAME}
    for name, one in found.items():
        target = name.removesuffix(_SUFFIX)
        if name in BY_NAME or not _is_known(name):
            continue
        if target in given:
            problems.append(_both(target, given[target].source))
            continue
        text = _content(name, one, problems)
        if text:
            given[target] = Given(text, f"{one.text} ({name})")
    return given


def _content(name: str, given: Given, problems: list[Problem]) -> str:
    try:
        return Path(given.text).read_text("utf-8-sig").strip()
    except (OSError, ValueError) as cause:
        message = f"{shown(given.text)} cannot be read: {reason(cause)}."
        problems.append(error(name, message, "Expected the path of a readable file.", given.source))
        return ""


def _both(name: str, source: str) -> Problem:
    return error(name, f"is set, and so is {name}{_SUFFIX}.", "Keep one of the two.", source)


def _add_document(name: str, given: Mapping[str, Given], documents: dict[str, Source], problems: list[Problem]) -> None:
    text, file = given.get(name), given.get(name + _SUFFIX)
    if file is not None and (text is not None or name in documents):
        problems.append(_both(name, text.source if text else documents[name].origin))
    elif file is not None:
        documents[name] = Source(name, file.text, path=Path(file.text))
    elif text is not None:
        documents[name] = Source(name, text.source, text=text.text)


# --- names -----------------------------------------------------------------------------------------------------------


def _is_known(name: str) -> bool:
    # A file that names the file that names everything would be one step too many.
    return name in BY_NAME or (name.removesuffix(_SUFFIX) in BY_NAME and name != "CS_CONFIG_PATH_FILE")


def _misspelt(found: Mapping[str, Given]) -> Iterator[Problem]:
    """Variables that are nearly ours. Others belong to somebody else, and are none of our business."""
    for name, given in found.items():
        if _is_known(name) or len(name) < _SHORTEST_GUESS:
            continue
        if near := _nearest(name):
            message = f"is not a variable of this version; did you mean {near}?"
            yield warning(name, message, f"Rename it to {near}, or remove it.", given.source)


def _guess(key: str) -> str:
    near = _nearest(key)
    return f"Did you mean `{near.lower()}`?" if near else "Remove it."


def _nearest(name: str) -> str | None:
    upper = name.upper()
    if upper in BY_NAME:
        return upper
    near = difflib.get_close_matches(upper.removesuffix(_SUFFIX), _guessable(), n=1, cutoff=_NEAR)
    return near[0] if near else None


def _guessable() -> Iterable[str]:
    return [name for name in BY_NAME if len(name) >= _SHORTEST_GUESS]
