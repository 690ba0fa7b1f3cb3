"""What `docs/metrics.md` says of each metric."""

from collections.abc import Mapping

from penstock.telemetry.meters import METERS, Meter


def tables() -> Mapping[str, str]:
    """The parts of the page that are written from the code, by their marks."""
    return {"metrics": "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *map(_row, METERS), ""])}


def _row(meter: Meter) -> str:
    name = f"{meter.name}_total" if meter.kind == "counter" else meter.name
    labels = ", ".join(f"`{label}`" for label in meter.labels)
    return f"| `{name}` | {meter.kind} | {labels or '-'} | {meter.sentence} |"
