from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_sip.errors import RoutesError
from trio_sip.routing.load import load_router
from trio_sip.routing.router import Router

GOOD = """\
from trio_sip import Request, Router

router = Router()

@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failure_of(spec: str) -> RoutesError:
    path = list(sys.path)
    with pytest.raises(RoutesError) as raised:
        load_router(spec)
    assert sys.path == path
    return raised.value


def failure_in(directory: Path, text: str, name: str = "") -> RoutesError:
    (directory / "routes.py").write_text(text)
    error = failure_of(f"routes.py{name}")
    assert error.file == str(directory / "routes.py")
    place = error.file if error.line is None else f"{error.file}:{error.line}"
    assert str(error).startswith(f"{place}: ")
    return error


@pytest.mark.parametrize("spec", ["routes.py", "routes.py:router", "./routes.py", "routes", "routes:router"])
def test_ways_to_name_a_router(directory: Path, spec: str) -> None:
    (directory / "routes.py").write_text(GOOD)
    path = list(sys.path)
    assert isinstance(load_router(spec), Router)
    assert sys.path == path


def test_a_router_of_another_name_in_a_package(directory: Path) -> None:
    (directory / "edge").mkdir()
    (directory / "edge" / "__init__.py").write_text("")
    (directory / "edge" / "trunks.py").write_text(GOOD.replace("router = ", "trunk = router = "))
    assert load_router("edge.trunks:trunk") is load_router("edge.trunks")
    assert isinstance(load_router("edge/trunks.py:trunk"), Router)


def test_a_routes_file_imports_its_neighbours(directory: Path) -> None:
    (directory / "edge").mkdir()
    (directory / "edge" / "numbers_of_ours.py").write_text("ANSWER = 486\n")
    (directory / "edge" / "routes.py").write_text(f"from numbers_of_ours import ANSWER\n{GOOD}")
    assert isinstance(load_router("edge/routes.py"), Router)


def test_a_routes_file_does_not_stand_in_for_a_module(directory: Path) -> None:
    (directory / "json.py").write_text(GOOD)
    load_router("json.py")
    import json

    assert json.loads("1") == 1


def test_a_routes_file_may_define_dataclasses(directory: Path) -> None:
    (directory / "routes.py").write_text(
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Trunk:\n    limit: dataclasses.KW_ONLY\n" + GOOD
    )
    load_router("routes.py")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gone.py", "gone.py: no such file"),
        ("edge/gone.py:router", "edge/gone.py: no such file"),
        ("gone_module", "no module named 'gone_module'"),
        ("email.gone_module:router", "no module named 'email.gone_module'"),
        ("", "neither a Python file nor a module"),
        ("a b", "neither a Python file nor a module"),
        ("routes.py:", "is not the name of a router"),
        ("routes.py:a.b", "is not the name of a router"),
        (":router", "neither a Python file nor a module"),
    ],
)
def test_nothing_to_load(directory: Path, spec: str, message: str) -> None:
    assert message in str(failure_of(spec))


def test_a_directory(directory: Path) -> None:
    (directory / "routes.py").mkdir()
    assert str(failure_of("routes.py")) == "routes.py: not a file"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\nx = = 2\n", 2, "SyntaxError: invalid syntax"),
        ("def f():\nreturn 1\n", 2, "IndentationError: expected an indented block"),
        ("\nimport nothing_of_that_name\n", 2, "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("from trio_sip import Rooter\n", 1, "ImportError: cannot import name 'Rooter'"),
        ("def f():\n    1 / 0\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError: "),
        ("open('gone.txt')\n", 1, "FileNotFoundError: "),
        ("raise ValueError\n", 1, "ValueError"),
        ("\nimport sys\nsys.exit('no licence')\n", 3, "SystemExit: no licence"),
        ("from trio_sip import Router\nRouter(groups=['default'])\n", 2, "WorkerGroup"),
        (
            "from trio_sip import WorkerGroup\n\nWorkerGroup('a', workers=0)\n",
            3,
            "ValueError: WorkerGroup 'a'",
        ),
    ],
)
def test_it_fails_while_it_is_executed(directory: Path, text: str, line: int, message: str) -> None:
    error = failure_in(directory, text)
    assert error.line == line
    assert message in str(error)


def test_bytes_that_are_no_text(directory: Path) -> None:
    (directory / "routes.py").write_bytes(b"x = '\xff'\n")
    assert "SyntaxError" in str(failure_of("routes.py"))


def test_a_syntax_error_of_a_neighbour_is_told_where_it_is(directory: Path) -> None:
    (directory / "broken_neighbour.py").write_text("\n\n)\n")
    (directory / "routes.py").write_text("import broken_neighbour\n")
    error = failure_of("routes.py")
    assert (error.file, error.line) == (str(directory / "broken_neighbour.py"), 3)


def test_an_error_in_a_neighbour_is_told_by_the_line_that_asked(directory: Path) -> None:
    (directory / "failing_neighbour.py").write_text("\n1 / 0\n")
    error = failure_in(directory, "x = 1\nimport failing_neighbour\n")
    assert error.line == 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = = 1\n", 1, "SyntaxError: invalid syntax"),
        ("\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_fails(directory: Path, text: str, line: int, message: str) -> None:
    (directory / "failing_module.py").write_text(text)
    error = failure_of("failing_module")
    assert (error.file, error.line) == (str(directory / "failing_module.py"), line)
    assert message in str(error)


def test_a_module_that_misses_another(directory: Path) -> None:
    (directory / "asking_module.py").write_text("import nothing_of_that_name\n")
    assert "asking_module.py:1: ModuleNotFoundError" in str(failure_of("asking_module"))


def test_the_error_of_a_decorator_keeps_its_place(directory: Path) -> None:
    error = failure_in(directory, GOOD.replace("async def", "def"))
    assert error.line == 5
    assert "async def request_route(request)" in str(error)


def test_no_router_at_all(directory: Path) -> None:
    assert "no Router in it; make one: 'router = Router(...)'" in str(failure_in(directory, "x = 1\n"))


def test_one_router_of_another_name(directory: Path) -> None:
    error = failure_in(directory, "from trio_sip import Router\nedge = Router()\n")
    assert str(error).endswith("no 'router' in it, but a Router of another name: say routes.py:edge, or call it router")


def test_two_routers_of_other_names(directory: Path) -> None:
    error = failure_in(directory, "from trio_sip import Router\nedge = Router()\ncore = Router()\n")
    assert str(error).endswith(
        "no 'router' in it, but Routers of other names: say which, routes.py:edge or routes.py:core"
    )


@pytest.mark.parametrize(
    ("value", "kind"), [("{}", "a dict"), ("None", "a NoneType"), ("Router", "the class Router itself")]
)
def test_not_a_router(directory: Path, value: str, kind: str) -> None:
    error = failure_in(directory, f"from trio_sip import Router\nedge = {value}\n", ":edge")
    assert "edge has to be a trio_sip.Router" in str(error)
    assert str(error).endswith(f"and is {kind}")


def test_a_router_without_request_route(directory: Path) -> None:
    error = failure_in(directory, "from trio_sip import Router\nrouter = Router()\n")
    assert "router: the router has no request_route" in str(error)
