"""Every metric, in one table, and how rooms count. `docs/metrics.md` is made from the table.

Rooms count as they write log lines, and without METRICS_ENABLED nothing is kept: counting then costs one look.

Labels have few values: paths are those of the routes, and names are those that the operator has configured. What a
caller may choose (an id, a raw path, the name of a model that does not exist) is never one.
"""

from collections.abc import Callable

Sink = Callable[[float, tuple[str, ...]], None]
"""Takes an amount, and the values of the labels in their order."""

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Where several workers keep their numbers. prometheus-client knows the variable, and reads it when it is imported."""

METERS: "list[Meter]" = []


class Meter:
    """`sink` is None while nothing is kept."""

    kind = ""

    def __init__(self, name: str, sentence: str, *labels: str) -> None:
        self.name = name
        self.sentence = sentence
        self.labels = labels
        self.sink: Sink | None = None
        METERS.append(self)


class Count(Meter):
    """Only grows. The service writes `_total` behind its name."""

    kind = "counter"

    def add(self, *labels: str, by: float = 1.0) -> None:
        if self.sink is not None:
            self.sink(by, labels)


class Number(Meter):
    """How many there are now, among all workers."""

    kind = "gauge"

    def change(self, by: float) -> None:
        if self.sink is not None:
            self.sink(by, ())


class Height(Meter):
    """A measured value; of several workers that of the highest is shown."""

    kind = "gauge"

    def put(self, value: float) -> None:
        if self.sink is not None:
            self.sink(value, ())


class Spread(Meter):
    """How values are distributed. `bounds` are the upper ends of its buckets."""

    kind = "histogram"

    def __init__(self, name: str, sentence: str, *labels: str, bounds: tuple[float, ...]) -> None:
        super().__init__(name, sentence, *labels)
        self.bounds = bounds

    def put(self, value: float, *labels: str) -> None:
        if self.sink is not None:
            self.sink(value, labels)


# --- requests ---------------------------------------------------------------------------------------------------------

REQUESTS = Count(
    "penstock_requests",
    "Requests that have ended. `outcome` is `ok`, `client-abort` or `error`, also for streams that began with a 200.",
    "route",
    "method",
    "status",
    "outcome",
)
REQUEST_SECONDS = Spread(
    "penstock_request_duration_seconds",
    "From the request to the last byte of its answer; for streams to their end.",
    "route",
    bounds=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
REQUESTS_RUNNING = Number("penstock_requests_in_flight", "Requests that are being served.")
STREAMS_RUNNING = Number(
    "penstock_streams_in_flight", "Answers that are being streamed: what to scale by, for it is not the CPU that waits."
)
STREAM_ERRORS = Count(
    "penstock_stream_errors",
    "Streams that failed after their 200, which no status shows: with an error event, or cut. `code` is the error's.",
    "surface",
    "code",
)

# --- models -----------------------------------------------------------------------------------------------------------

MODEL_CALLS = Count(
    "penstock_model_calls",
    "Calls to models that have ended, however often each was tried; by the model that answered, or was asked last.",
    "model",
    "provider",
    "outcome",
)
FIRST_TOKEN_SECONDS = Spread(
    "penstock_time_to_first_token_seconds",
    "From the call until something of the answer could be shown.",
    "model",
    "provider",
    bounds=(0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 180.0),
)
INPUT_TOKENS = Count(
    "penstock_input_tokens",
    "Tokens that were sent to models; estimated where a call was broken off.",
    "model",
    "provider",
)
OUTPUT_TOKENS = Count("penstock_output_tokens", "Tokens that models have answered with.", "model", "provider")

# --- the editor -------------------------------------------------------------------------------------------------------

SEARCH_FAILURES = Count("penstock_web_search_failures", "Web searches that failed; the model answered without.")
MODERATION_REFUSALS = Count("penstock_moderation_refusals", "Texts and pictures that moderation has refused.")
MODERATION_FAILURES = Count(
    "penstock_moderation_failures", "Texts and pictures that could not be screened, and so were refused."
)
MCP_CALLS = Count(
    "penstock_mcp_calls",
    "Calls of tools. `outcome` is `ok`, `tool-error` (the tool says so), `timeout`, `failed` or `client-abort`.",
    "server",
    "outcome",
)
EDIT_REPAIRS = Count(
    "penstock_edit_repairs",
    "Answers of models whose edits had to be repaired. `feature`: `chat`, `action`, `review`.",
    "feature",
)
EDIT_REJECTIONS = Count(
    "penstock_edit_rejections", "Answers to chats and actions of whose edits a part had to be thrown away.", "feature"
)
ATTACHMENTS = Count(
    "penstock_attachments_stored", "What users have attached. `kind` is `document`, `file` or `web-resource`.", "kind"
)

# --- what it stands on ------------------------------------------------------------------------------------------------

STORAGE_FAILURES = Count("penstock_storage_failures", "What the storage of files failed to do.", "operation")
LOOP_LAG = Height(
    "penstock_event_loop_lag_seconds",
    "How late the event loop came to its work, at worst within the last ten seconds: an overloaded process.",
)
