"""The house: imports go down only, pure floors stay pure, and no module imports itself in a circle."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = ("errors", "address", "identifiers")
FLOORS: dict[str, tuple[str, ...]] = dict.fromkeys(BASE, BASE)
FLOORS["message"] = BASE
FLOORS["transaction"] = FLOORS["transport"] = (*BASE, "message")
FLOORS["proxy"] = (*BASE, "message", "transaction")
FLOORS["workers"] = (*FLOORS["proxy"], "proxy", "transport")
FLOORS["routing"] = (*FLOORS["workers"], "workers")
FLOORS["services"] = FLOORS["kamailio"] = (*FLOORS["routing"], "routing")
FLOORS["server"] = (*FLOORS["services"], "services", "kamailio")
FLOORS["trio_sip"] = (*FLOORS["server"], "server")
FLOORS["cli"] = (*FLOORS["trio_sip"], "trio_sip")
FLOORS["__main__"] = ("cli",)
FLOORS["testing"] = FLOORS["cli"]  # nobody below imports it
PURE = {"message", "transaction", "proxy"}
IMPURE = {"trio", "socket", "ssl", "time", "random", "secrets", "logging"}
FRIENDS = {("services.registrar", "services.location")}


def floor(module: str) -> str:
    """The first name below the package; the package itself is `trio_sip`."""
    return [*module.split("."), "trio_sip"][1]


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield from statements(node)


def imports(path: Path) -> Iterator[str]:
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: relative import"
            inner = {alias.name for alias in node.names if f"{node.module}.{alias.name}" in PATHS}
            yield from (f"{node.module}.{name}" for name in inner)
            if len(inner) < len(node.names):
                yield node.module or ""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PATHS = {module_name(path): path for path in sorted((ROOT / "trio_sip").rglob("*.py"))}
IMPORTS = {module: sorted(set(imports(path))) for module, path in PATHS.items()}


@pytest.mark.parametrize("module", PATHS)
def test_imports_go_down(module: str) -> None:
    here = floor(module)
    for imported in IMPORTS[module]:
        package = imported.split(".")[0]
        if package == "trio_sip":
            there = floor(imported)
            assert there == here or there in FLOORS[here], f"{here} may not import {imported}"
            if here == there == "services":
                pair = (module.removeprefix("trio_sip."), imported.removeprefix("trio_sip."))
                assert pair in FRIENDS, "services are strangers to each other"
        elif here in PURE or here in BASE:
            assert package == "attrs" or package in sys.stdlib_module_names, f"{here} needs no {package}"
            assert here in BASE or package not in IMPURE, f"{here} is pure: no {package}"
        else:
            assert package != "typer" or here == "cli"


def test_no_module_imports_itself_in_a_circle() -> None:
    """`prepare` raises `CycleError`, which names the circle."""
    TopologicalSorter({module: set(names) & set(PATHS) for module, names in IMPORTS.items()}).prepare()
