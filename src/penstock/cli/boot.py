"""The boot report: what is on, where, and what is missing. One JSON line each, whatever LOG_LEVEL says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import __version__
from penstock.cli import identities
from penstock.editor.moderation.options import described
from penstock.kit.clock import iso
from penstock.settings import Settings
from penstock.settings.report import place
from penstock.telemetry.logs import write_line

if TYPE_CHECKING:
    from penstock.app import House

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
_LEVELS = {"error": 50, "warning": 40, "info": 30}


def report(settings: Settings, house: "House") -> None:
    snapshot = house.catalog.current
    _say(f"Penstock {__version__}: database {settings.database.where()}; {_coordination(settings)}.")
    providers = ", ".join(f"{one.key} ({one.type})" for one in snapshot.providers.values())
    models = ", ".join(model.slug for model in snapshot.models if model.backends) or "none"
    _say(f"Providers: {providers}. Models: {models}.")
    if any(one.type == "demo" for one in snapshot.providers.values()):
        _say("PROVIDERS is not set: the built-in demo answers, with prepared text. Set it to use real models.", 40)
    _say(described(settings.moderation, snapshot.providers.values()))
    for problem in (*settings.problems, *snapshot.problems, *identities.remarks(snapshot)):
        _say(f"{place(problem)}: {problem.message} {problem.fix}", _LEVELS[problem.severity])
    if not settings.allowed_origins:
        _say("ALLOWED_ORIGINS is not set: browsers on other origins cannot call this service.")
    _say(f"Server is listening on port {settings.server.port}. Address: {address(settings)}")
    if any(Path(mark).exists() for mark in _CONTAINER_MARKS):
        port = settings.server.port
        _say(
            f"This is a container: publish the port to reach it from outside, and set HOST=0.0.0.0 (-p {port}:{port})."
        )


def address(settings: Settings) -> str:
    host, port = settings.server.host, settings.server.port
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _coordination(settings: Settings) -> str:
    if settings.redis is None:
        return "coordination in this process (one worker, one replica)"
    return f"coordination by {settings.redis.where()}"


def _say(message: str, level: int = 30) -> None:
    write_line({"timestamp": iso(datetime.now(UTC)), "level": level, "message": message})
