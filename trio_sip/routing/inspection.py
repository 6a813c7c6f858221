"""Reading the source of routes: of one function, or of a whole file and the files of the user's it imports."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from trio_sip.errors import RoutesError
from trio_sip.routing.mistakes import Finding, find_doubts, find_mistakes
from trio_sip.routing.source import Source

__all__ = ["Doubt", "Role", "check_function", "check_module", "doubts_about", "modules_from"]

MAX_MODULES = 100
"""Modules of the user's that are read, at most."""

Role = tuple[Callable[..., Any], type]
"""A function of a router, and what kind of message it is called with."""


class Doubt(NamedTuple):
    """Something that may be a mistake, and where."""

    file: str
    line: int
    text: str


def check_function(function: Callable[..., Any], kind: type) -> None:
    """Raise `RoutesError` for the first mistake in the source of one function; there may be no source."""
    function = inspect.unwrap(function)
    source = _function_source(function, kind) if isinstance(function, FunctionType) else None
    if source is not None:
        _raise_first(find_mistakes(source), function.__code__.co_filename)


def check_module(module: ModuleType, roles: Iterable[Role]) -> Source | None:
    """Raise `RoutesError` for the first mistake in a module; returns its source, None where it has none."""
    source = _module_source(module, roles)
    if source is not None:
        _raise_first(find_mistakes(source), str(module.__file__))
    return source


def doubts_about(modules: Iterable[ModuleType], roles: Collection[Role], groups: Collection[str]) -> Iterator[Doubt]:
    """What may be a mistake in these modules, whose routers have these worker groups."""
    for module in modules:
        source = _module_source(module, roles)
        if source is not None:
            yield from (Doubt(str(module.__file__), line, text) for line, text in find_doubts(source, groups))


def modules_from(module: ModuleType, directory: Path) -> list[ModuleType]:
    """`module` and the modules it imports from below `directory`, and those these import, and so on."""
    found = [module]
    for each in found:
        source = _module_source(each, ())
        for other in () if source is None else source.modules():
            if other not in found and _is_of_the_user(other, directory) and len(found) < MAX_MODULES:
                found.append(other)
    return found


def _is_of_the_user(module: ModuleType, directory: Path) -> bool:
    """Whether it is one of the user's own: not what was installed below, and not us."""
    file = getattr(module, "__file__", None)
    if not file or module.__name__.split(".")[0] == "trio_sip" or not Path(file).is_relative_to(directory):
        return False
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _raise_first(mistakes: Iterator[Finding], file: str) -> None:
    first = min(mistakes, key=lambda mistake: mistake.line, default=None)
    if first is not None:
        raise RoutesError(first.text, file, first.line)


def _module_source(module: ModuleType, roles: Iterable[Role]) -> Source | None:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # it has run; that the file is another now is no mistake of the routes
    here = [(inspect.unwrap(function), kind) for function, kind in roles]
    lines = {
        function.__code__.co_firstlineno: kind
        for function, kind in here
        if isinstance(function, FunctionType) and function.__code__.co_filename == file
    }
    return Source(tree, vars(module), lines)


def _function_source(function: FunctionType, kind: type) -> Source | None:
    first_line = function.__code__.co_firstlineno
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    # What was executed from a text may have the name of a file whose lines say something else.
    if [getattr(each, "name", None) for each in tree.body] != [function.__code__.co_name]:
        return None
    return Source(tree, function.__globals__ | _enclosed(function), {first_line: kind}, first_line)


def _enclosed(function: FunctionType) -> dict[str, Any]:
    """What the function sees of the functions around it."""
    names: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            names[name] = None
    return names
