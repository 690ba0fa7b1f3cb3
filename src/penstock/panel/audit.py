"""The audit log: who changed what, when and from where (W-33). Written whatever LOG_LEVEL says; never a secret."""

from datetime import UTC, datetime

from fastapi import Request

from penstock.http.incoming import incoming_of
from penstock.kit.clock import iso
from penstock.telemetry.logs import write_line


def audit(request: Request, who: str, what: str, address: str, **about: str | None) -> None:
    """`who`: `session <id>`, `management secret` or `signed request`. `about` holds ids and names."""
    now = iso(datetime.now(UTC))
    found = {"who": who, "what": what, "when": now, "where": address}
    found |= {name: value for name, value in about.items() if value is not None}
    write_line(
        {
            "timestamp": now,
            "level": 30,
            "message": f"audit: {what}",
            "requestId": incoming_of(request.scope).id,
            "audit": found,
        }
    )
