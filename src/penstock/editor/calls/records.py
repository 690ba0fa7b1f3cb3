"""What became known of the model calls of one request, added up for its metric log line."""

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.gateway.inference.service import CallRecord

_SUMS = ("attempts", "inputTokens", "outputTokens", "costMicros")
_SHOWN_TRIES = 20


class CallRecords:
    def __init__(self) -> None:
        self._records: list[CallRecord] = []

    def new(self) -> CallRecord:
        """The record of one more call."""
        record = CallRecord()
        self._records.append(record)
        return record

    def log_fields(self) -> dict[str, Any]:
        """The names of one call (`CallRecord.log_fields`). Several are added up, and `calls` says how many.

        Nothing for a request that needed no model.
        """
        records = [record for record in self._records if record.model is not None]
        if len(records) < 2:
            return records[0].log_fields() if records else {}
        return _added_up([record.log_fields() for record in records])


def _added_up(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields = dict(calls[0]) | {"calls": len(calls)}
    fields |= {name: sum(call.get(name, 0) for call in calls) for name in _SUMS if any(name in call for call in calls)}
    if first_tokens := [call["timeToFirstTokenMs"] for call in calls if "timeToFirstTokenMs" in call]:
        fields["timeToFirstTokenMs"] = min(first_tokens)
    if tried := [one for call in calls for one in call.get("tried", ())]:
        fields["tried"] = tried[:_SHOWN_TRIES]
    known = [str(call["pricing"]) for call in calls if "pricing" in call]
    for name in ("unpriced", "estimated"):  # the sum is as good as the worst of its parts
        if name in known:
            fields["pricing"] = name
            break
    if "unpriced" in known:
        fields.pop("costMicros", None)
    return fields
