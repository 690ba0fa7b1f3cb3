"""What the models are told: one file per review, and the rules that hold for all of them."""

from functools import cache
from importlib.resources import files


@cache
def prompt(name: str) -> str:
    return (files(__name__) / f"{name}.md").read_text("utf-8").strip()
