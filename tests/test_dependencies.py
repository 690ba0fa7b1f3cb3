"""What is imported is declared, locked and explained: else it is there only where somebody had it anyway."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> set[str]:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    return {_normal(re.split(r"[^\w.-]", dependency)[0]) for dependency in dependencies}


def _imported_modules() -> set[str]:
    files = (ROOT / "src").rglob("*.py")
    found = {name.partition(".")[0] for file in files for name in _imports(ast.parse(file.read_text("utf-8")))}
    return found - {"penstock"} - sys.stdlib_module_names


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_every_imported_package_is_declared() -> None:
    declared, distributions = _declared(), packages_distributions()
    imported = {module: {_normal(name) for name in distributions.get(module, [])} for module in _imported_modules()}
    assert {module for module, names in imported.items() if not names & declared} == set()


def test_every_declared_package_is_locked_for_the_service_and_for_its_tests() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        locked = {
            _normal(found) for found in re.findall(r"^([\w.-]+)==", (ROOT / name).read_text("utf-8"), re.MULTILINE)
        }
        assert _declared() - locked == set(), name


def test_every_declared_package_is_explained() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    explained = {_normal(name) for row in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) for name in row.split(", ")}
    assert _declared() - explained == set()
