"""The levels of the house: imports go down only, tests mirror files, apps are short."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# What each room may import of tfdl, besides itself.
LEVELS = {
    "errors": set(),
    "quiet": set(),
    "findings": {"errors"},
    "ops": {"errors"},
    "layers": {"errors", "ops"},
    "drawing": {"errors", "ops"},
    "backbones": {"errors", "ops", "layers"},
    "data": {"errors", "ops", "drawing"},
    "tasks": {"errors", "findings", "ops", "layers", "drawing", "backbones", "data"},
    "analysis": {"errors", "ops", "layers", "drawing", "backbones", "data"},
    "compression": {"errors", "ops", "layers", "drawing", "backbones", "data"},
    "training": {"errors", "findings", "ops", "drawing"},
    "export": {"errors", "ops", "drawing"},
    "serving": {"errors", "ops", "drawing"},
}
BANNED_NAMES = {"utils", "common", "helpers", "misc", "base", "core"}
BANNED_CALLS = {"eval", "exec"}
BANNED_MODULES = {"pickle", "joblib", "marshal"}
MODULES = sorted((ROOT / "tfdl").rglob("*.py"))
APPS = sorted((ROOT / "apps").glob("*.py"))


def imports(path: pathlib.Path) -> list[str]:
    """List the dotted names that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def identify(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_imports_go_down_the_levels(path):
    parts = path.relative_to(ROOT / "tfdl").with_suffix("").parts
    room = parts[0]
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top != "tfdl" or not rest:
            continue
        target = rest.split(".")
        assert target[0] == room or target[0] in LEVELS[room], f"{path} takes {name}"
        if room == "tasks" and target[0] == "tasks":
            assert target[1] == parts[1], f"{path} takes another task: {name}"


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_every_module_has_a_mirrored_test(path):
    if path.name == "__init__.py":
        return
    relative = path.relative_to(ROOT / "tfdl")
    mirrored = ROOT / "tests" / relative.parent / f"test_{relative.name}"
    assert mirrored.exists(), f"{mirrored} is missing"


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_modules_are_named_for_what_they_hold_and_are_short(path):
    assert path.stem not in BANNED_NAMES
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", APPS, ids=identify)
def test_an_app_is_at_most_200_lines(path):
    assert len(path.read_text().splitlines()) <= 200


@pytest.mark.parametrize("path", MODULES + APPS, ids=identify)
def test_nothing_runs_text_or_unpickles(path):
    assert not {name.split(".")[0] for name in imports(path)} & BANNED_MODULES
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & BANNED_CALLS
