"""The source of a routes file, or of one function of it: its calls, its imports, the routers it makes."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from trio_sip.routing.scope import Function, Scope, function_scope, lambda_scope

__all__ = ["Call", "Source", "Statement"]


class Call(NamedTuple):
    """A call in a function."""

    node: ast.Call
    parent: ast.AST
    scope: Scope

    @property
    def target(self) -> Any:
        """What is called: a `Method`, or the function itself, or something nobody knows."""
        return self.scope.resolve(self.node.func)

    @property
    def is_awaited(self) -> bool:
        return isinstance(self.parent, ast.Await)

    @property
    def is_statement(self) -> bool:
        """Whether it stands alone, and nobody looks at what it returns."""
        return isinstance(self.parent, ast.Expr)

    @property
    def is_in_async(self) -> bool:
        """Whether it is right in an `async def`, where it may be awaited."""
        return isinstance(self.scope.function, ast.AsyncFunctionDef)

    @property
    def runs_in_the_loop(self) -> bool:
        """Whether all other messages wait while it runs: in an `async def`, or in a function of the router."""
        return self.is_in_async or self.scope.is_of_the_router

    def text(self, place: int, name: str) -> str | None:
        """The text given as the argument at this place, or of this name; see `Scope.text_of`."""
        return self.scope.text_of(self._argument(place, name))

    @property
    def shown(self) -> str:
        """What is called, as it is written."""
        return ast.unparse(self.node.func)

    @property
    def written(self) -> str:
        """The whole call."""
        return ast.unparse(self.node)

    def _argument(self, place: int, name: str) -> ast.expr | None:
        for keyword in self.node.keywords:
            if keyword.arg == name:
                return keyword.value
        arguments = self.node.args[: place + 1]
        if len(arguments) <= place or any(isinstance(each, ast.Starred) for each in arguments):
            return None
        return arguments[place]


class Statement(NamedTuple):
    """An assignment at the top level of the file."""

    name: str
    value: Any
    line: int


class Source:
    """One file or function. `roles`: by the line it begins on, what kind of message a function of the router gets."""

    def __init__(
        self, tree: ast.Module, namespace: Mapping[str, Any], roles: Mapping[int, type], first_line: int = 1
    ) -> None:
        self._tree = tree
        self._module = Scope(None, dict(namespace), None)
        self._roles = roles
        self._before = first_line - 1

    def line_of(self, node: ast.AST) -> int:
        """The line of the file a node stands on."""
        return int(getattr(node, "lineno", 1)) + self._before

    def calls(self) -> Iterator[Call]:
        """Every call inside a function."""
        yield from self._calls_in(self._tree, self._module)

    def top_level_calls(self) -> Iterator[Statement]:
        """`name = callable(...)` at the top level; `value` is what is called."""
        for node in self._tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                target = self._module.resolve(node.value.func)
                for name in node.targets:
                    if isinstance(name, ast.Name):
                        yield Statement(name.id, target, self.line_of(node))

    def modules(self) -> Iterator[ModuleType]:
        """The modules it imports, as far as they are loaded."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                whole = self._absolute(node)
                names = [whole, *(f"{whole}.{alias.name}" for alias in node.names)]
            else:
                continue
            yield from (sys.modules[name] for name in names if name in sys.modules)

    def _absolute(self, node: ast.ImportFrom) -> str:
        package = self._module.names.get("__package__") or ""
        try:
            return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        except ImportError:
            return ""

    def _calls_in(self, node: ast.AST, scope: Scope) -> Iterator[Call]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and scope.function is not None:
                yield Call(child, node, scope)
            yield from self._calls_in(child, self._scope_in(child, scope))

    def _scope_in(self, node: ast.AST, scope: Scope) -> Scope:
        if isinstance(node, Function):
            return function_scope(node, scope, self._roles.get(self._first_line(node)))
        return lambda_scope(node, scope) if isinstance(node, ast.Lambda) else scope

    def _first_line(self, function: Function) -> int:
        """The line of its first decorator, as in its code object."""
        return min(self.line_of(node) for node in (function, *function.decorator_list))
