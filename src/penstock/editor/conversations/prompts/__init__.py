"""What the models are told, as text files: one per task."""

from functools import cache
from importlib.resources import files


@cache
def prompt(name: str) -> str:
    return (files(__name__) / f"{name}.txt").read_text("utf-8").strip()
