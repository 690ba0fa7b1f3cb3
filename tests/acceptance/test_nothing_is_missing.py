"""Every check, rule and symptom that is due has a test that carries its id."""

import re
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).parent.parent
HERE = Path(__file__).parent

DUE_SYMPTOMS = {1, 2, 3, 12, 17, *range(20, 28), 33, *range(50, 59), 62, *range(80, 86)}


def ids(kind: str, names: str) -> set[int]:
    """Of names such as `test_t_19_t_20_an_upstream_401`."""
    found = re.findall(r"\btest_((?:[a-z]{1,4}_?\d+_)+)", names)
    return {int(one) for name in found for one in re.findall(rf"(?<![a-z]){kind}_?(\d+)", name)}


def names_here() -> str:
    modules = [import_module(f"tests.acceptance.{path.stem}") for path in sorted(HERE.glob("test_*.py"))]
    return "\n".join(name for module in modules for name in vars(module) if name.startswith("test_"))


def test_every_scripted_check_runs_over_the_deployments() -> None:
    assert ids("t", names_here()) == set(range(1, 36))


def test_every_rule_has_its_test() -> None:
    assert ids("rule", names_here()) == set(range(1, 16))


def test_every_symptom_that_is_due_has_its_test() -> None:
    texts = [path.read_text() for path in TESTS.rglob("test_*.py") if "node_modules" not in path.parts]
    defined = re.findall(r"^ *(?:async )?def (\w+)", "\n".join(texts), re.MULTILINE)
    assert DUE_SYMPTOMS - ids("s", "\n".join(defined)) == set()
