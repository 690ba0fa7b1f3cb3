"""Token counts of the Messages format: cached input is counted apart, thinking is part of the output (2.4)."""

from collections.abc import Mapping
from typing import Any

from penstock.providers.base import Usage
from penstock.providers.wires.estimates import estimated


class Counts:
    """The counts of one answer, merged field by field: they are cumulative, the last value counts."""

    __slots__ = ("_counts", "_is_final")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._is_final = False

    def add(self, reported: Any, *, final: bool) -> None:
        """Read a `usage` object. What a stream begins with has a placeholder for the output: it is not final."""
        if not isinstance(reported, dict):
            return
        self._take(reported, "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        if final:
            self._take(reported, "output_tokens")
            self._is_final = self._is_final or "output_tokens" in self._counts
        for part in ("cache_creation", "output_tokens_details"):
            details = reported.get(part)
            if isinstance(details, dict):
                self._take(details, "ephemeral_1h_input_tokens", "thinking_tokens")

    def _take(self, reported: Mapping[str, Any], *fields: str) -> None:
        for field in fields:
            count = reported.get(field)
            if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
                self._counts[field] = count

    def usage(self, sent_bytes: int, received_chars: int) -> Usage:
        """What was reported; what was not, or not yet, is guessed, and the whole is marked so."""
        counts = self._counts
        guess = estimated(sent_bytes, received_chars)
        read = counts.get("cache_read_input_tokens", 0)
        write = counts.get("cache_creation_input_tokens", 0)
        has_input = "input_tokens" in counts
        output = counts["output_tokens"] if self._is_final else guess.output_tokens
        return Usage(
            input_tokens=counts["input_tokens"] + read + write if has_input else max(guess.input_tokens, read + write),
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=write,
            cache_write_1h_tokens=min(counts.get("ephemeral_1h_input_tokens", 0), write),
            reasoning_tokens=min(counts.get("thinking_tokens", 0), output),
            estimated=not (self._is_final and has_input),
        )

    @property
    def is_known(self) -> bool:
        return self._is_final and "input_tokens" in self._counts
