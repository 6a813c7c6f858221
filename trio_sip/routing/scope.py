"""What names mean in the source of a routes file: which are requests, which are trio-sip's own functions.

The file has run when it is read here, so a name of the module is looked up in the module itself. A parameter is a
request, a response or a frame where it is annotated as one, or where its function is one of the router's. Whatever is
assigned inside a function means nothing here, so that no check rests on a guess.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from trio_sip.message.frame import Frame
from trio_sip.routing.pseudo_variables import HOLE
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response

__all__ = ["Function", "Method", "Scope", "function_scope", "lambda_scope"]

Function = ast.FunctionDef | ast.AsyncFunctionDef
_UNKNOWN = object()
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class Instance(NamedTuple):
    """What stands for a frame, a request or a response."""

    kind: type


class Method(NamedTuple):
    """A method of one."""

    kind: type
    name: str


class Scope:
    """The names of a module or a function. `function` is None for a module."""

    is_of_the_router = False

    def __init__(self, outer: Scope | None, names: dict[str, Any], function: Function | ast.Lambda | None) -> None:
        self.outer = outer
        self.names = names
        self.function = function

    def resolve(self, node: ast.expr) -> Any:
        """What an expression stands for, if that can be told."""
        if isinstance(node, ast.Name):
            return self._look_up(node.id)
        if not isinstance(node, ast.Attribute):
            return _UNKNOWN
        base = self.resolve(node.value)
        if isinstance(base, Instance):
            is_frame = node.attr == "frame" and base.kind is not Frame
            return Instance(Frame) if is_frame else Method(base.kind, node.attr)
        return vars(base).get(node.attr, _UNKNOWN) if isinstance(base, ModuleType) else _UNKNOWN

    def text_of(self, node: ast.expr | None) -> str | None:
        """A text, with `HOLE` for every part that is not known yet; None where nothing is known of it."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return "".join([self.text_of(part) or HOLE for part in node.values])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = self.text_of(node.left), self.text_of(node.right)
            return None if parts == (None, None) else "".join([HOLE if part is None else part for part in parts])
        value = self.resolve(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        return value if isinstance(value, str) else None

    def _look_up(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return getattr(builtins, name, _UNKNOWN)


def lambda_scope(node: ast.Lambda, outer: Scope) -> Scope:
    """The names inside a `lambda`."""
    return Scope(outer, _parameters(node.args), node)


def function_scope(function: Function, outer: Scope, role: type | None) -> Scope:
    """The names inside a function; `role` is what kind of message its first argument is, where that is known."""
    names = _parameters(function.args)
    for number, parameter in enumerate((*function.args.posonlyargs, *function.args.args)):
        kind = role if role is not None and number == 0 else _annotated(parameter, outer)
        if kind is not None:
            names[parameter.arg] = Instance(kind)
    for node in _own_nodes(function):
        names |= _bound_by(node)
    for node in _own_nodes(function):
        if isinstance(node, ast.Global):
            for name in node.names:
                names.pop(name, None)
    scope = Scope(outer, names, function)
    scope.is_of_the_router = role is not None
    return scope


def _parameters(arguments: ast.arguments) -> dict[str, Any]:
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return {parameter.arg: _UNKNOWN for parameter in every if parameter is not None}


def _annotated(parameter: ast.arg, outer: Scope) -> type | None:
    annotation = parameter.annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str) and annotation.value.isidentifier():
        annotation = ast.Name(annotation.value)
    kind = None if annotation is None else outer.resolve(annotation)
    return kind if kind in (Frame, Request, Response) else None


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """Every node of a function's body, without what is inside the functions and classes defined there."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _NESTED):
            waiting.extend(ast.iter_child_nodes(node))


def _bound_by(node: ast.AST) -> dict[str, Any]:
    """The names a node gives a new meaning; only of an import is it known which."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return {node.id: _UNKNOWN}
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name: _UNKNOWN}
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        return {node.name: _UNKNOWN}
    if isinstance(node, ast.MatchMapping) and node.rest:
        return {node.rest: _UNKNOWN}
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.split(".")[0]: _module(alias) for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: _member(node, alias.name) for alias in node.names}
    return {}


def _module(alias: ast.alias) -> Any:
    return sys.modules.get(alias.name if alias.asname else alias.name.split(".")[0], _UNKNOWN)


def _member(node: ast.ImportFrom, name: str) -> Any:
    """What a function imports when it runs. Of trio-sip that can be looked up now; other modules are left alone."""
    if node.level or not (node.module or "").startswith("trio_sip"):
        return getattr(sys.modules.get(node.module or ""), name, _UNKNOWN)
    try:
        return getattr(importlib.import_module(node.module or ""), name, _UNKNOWN)
    except ImportError:
        return _UNKNOWN
