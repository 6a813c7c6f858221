"""`trio-sip check`: what a router would do, as tables, and what in its files may be a mistake."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from trio_sip.address import ListenAddress
from trio_sip.cli.output import printable, table
from trio_sip.routing.inspection import doubts_about, modules_from
from trio_sip.routing.router import Router

__all__ = ["describe_router"]


def describe_router(router: Router, listen: Sequence[ListenAddress]) -> str:
    """Worker groups, routes and listeners, one table each; then a line for each doubt about the routes' files."""
    parts = (
        table("groups", _GROUP_TITLES, list(_groups(router))),
        table("routes", ("on", "method", "function", "place"), list(_routes(router))),
        table("listeners", ("transport", "address"), [(each.transport, str(each.address)) for each in listen]),
        "\n".join(_doubts(router)),
    )
    return "\n\n".join(filter(None, parts))


_GROUP_TITLES = ("name", "workers", "queue", "ordered", "when full", "deadline", "max age")


def _groups(router: Router) -> Iterator[tuple[str, ...]]:
    for group in router.groups_to_run():
        yield (
            printable(group.name),
            str(group.workers),
            str(group.queue),
            "yes" if group.ordered else "no",
            group.when_full,
            "none" if group.deadline is None else f"{group.deadline:g} s",
            f"{group.max_age:g} s",
        )


def _routes(router: Router) -> Iterator[tuple[str, ...]]:
    routes = router.routes
    if routes.pre is None:
        yield "pre_routing", "any", "(none: all go to group default)", ""
    else:
        yield "pre_routing", "any", *_function(routes.pre)
    for method, route in routes.requests.items():
        yield "request_route", method, *_function(route)
    if routes.plain is not None:
        yield "request_route", "any other" if routes.requests else "any", *_function(routes.plain)
    if routes.reply is not None:
        yield "reply_route", "any", *_function(routes.reply)


def _function(function: Callable[..., Any]) -> tuple[str, str]:
    """The function's name, and `file:line`, the file as it is called from here where it is below."""
    name = getattr(function, "__qualname__", None) or repr(function)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return name, "" if code is None else f"{_shown(code.co_filename)}:{code.co_firstlineno}"


def _shown(file: str) -> str:
    beside = os.path.relpath(file)
    return file if beside.startswith(os.pardir) else beside


def _doubts(router: Router) -> Iterator[str]:
    """`warning: file:line: ...`, for the modules the router's functions are from, and those of the user's below."""
    roles = list(router.functions())
    names = dict.fromkeys(function.__module__ for function, _ in roles)
    modules = {
        module.__name__: module
        for name in names
        if name in sys.modules
        for module in modules_from(sys.modules[name], _directory(sys.modules[name]))
    }
    routers = [router, *(each for module in modules.values() for each in vars(module).values())]
    groups = [group.name for each in routers if isinstance(each, Router) for group in each.groups_to_run()]
    for file, line, text in doubts_about(modules.values(), roles, list(dict.fromkeys(groups))):
        yield f"warning: {_shown(file)}:{line}: {printable(text)}"


def _directory(module: ModuleType) -> Path:
    return Path(getattr(module, "__file__", None) or ".").absolute().parent
