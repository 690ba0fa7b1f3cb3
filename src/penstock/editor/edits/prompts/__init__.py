"""What the models are told about edits, as text files."""

from functools import cache
from importlib.resources import files


@cache
def prompt(name: str) -> str:
    return (files(__name__) / f"{name}.md").read_text("utf-8").strip()
