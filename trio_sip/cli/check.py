"""`trio-sip check`: what a router would do, as tables."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trio_sip.address import ListenAddress
from trio_sip.cli.output import printable, table
from trio_sip.routing.router import Router

__all__ = ["describe_router"]


def describe_router(router: Router, listen: Sequence[ListenAddress]) -> str:
    """Worker groups, routes and listeners, one table each."""
    tables = (
        table("groups", _GROUP_TITLES, list(_groups(router))),
        table("routes", ("on", "method", "function", "place"), list(_routes(router))),
        table("listeners", ("transport", "address"), [(each.transport, str(each.address)) for each in listen]),
    )
    return "\n\n".join(tables)


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
    """The function's name, and `file:line`, the file as seen from here where it is below."""
    name = getattr(function, "__qualname__", None) or repr(function)
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return name, ""
    beside = os.path.relpath(code.co_filename)
    shown = code.co_filename if beside.startswith(os.pardir) else beside
    return name, f"{shown}:{code.co_firstlineno}"
