"""The router: worker groups, pre-routing, request routes and the reply route, as a routes file declares them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, overload

import attrs

from trio_sip.errors import RoutesError
from trio_sip.message.frame import Frame
from trio_sip.message.grammar import is_token
from trio_sip.routing.inspection import check_function
from trio_sip.routing.request import Request, Route
from trio_sip.routing.response import ReplyRoute, Response
from trio_sip.workers.settings import DEFAULT_GROUP, WorkerGroup

__all__ = ["PreRouting", "Router", "Routes"]

PreRouting = Callable[[Frame], None]
"""A synchronous callable the receive task runs on each frame."""

_R = TypeVar("_R", bound=Route)
_P = TypeVar("_P", bound=PreRouting)
_A = TypeVar("_A", bound=ReplyRoute)


@attrs.define
class Routes:
    """What a routes file has declared so far."""

    pre: PreRouting | None = None
    requests: dict[str, Route] = attrs.field(factory=dict)
    """By method."""
    plain: Route | None = None
    """For every other method."""
    reply: ReplyRoute | None = None


class Router:
    """What to do with SIP messages. Routes are declared with decorators, and take effect when it is served.

    >>> router = Router(groups=[WorkerGroup("default", workers=4)])
    >>> @router.request_route
    ... async def request_route(request):
    ...     request.reply(404)

    Without pre-routing, every frame is delegated to a group named `default`, which sheds when it is full, and which
    is made where `groups` has none. `in_place_deadline`: seconds a route may take in the receive task.
    """

    def __init__(self, groups: Iterable[WorkerGroup] = (), *, in_place_deadline: float = 0.25) -> None:
        self.groups = tuple(groups)
        for group in self.groups:
            if not isinstance(group, WorkerGroup):
                raise RoutesError(f"groups has to hold WorkerGroup(...), not {group!r}")
        names = [group.name for group in self.groups]
        for name in names:
            if names.count(name) > 1:
                raise RoutesError(f"two worker groups are named {name!r}")
        if not (_is_number(in_place_deadline) and in_place_deadline > 0):
            raise RoutesError(f"in_place_deadline is a number of seconds above 0, not {in_place_deadline!r}")
        self.in_place_deadline = in_place_deadline
        self.routes = Routes()

    def pre_routing(self, function: _P) -> _P:
        """Declare what the receive task runs on each frame, once, before anything else.

        A plain `def`: it cannot wait.
        """
        _check(function, "pre_routing", "frame", asynchronous=False)
        if self.routes.pre is not None:
            raise _twice(function, "pre_routing", self.routes.pre)
        self.routes.pre = function
        return function

    @overload
    def request_route(self, function: _R, /) -> _R: ...

    @overload
    def request_route(self, method: str, /, *methods: str) -> Callable[[_R], _R]: ...

    def request_route(self, first: Any = None, /, *methods: str) -> Any:
        """Declare the route for requests, or with methods (`@router.request_route("REGISTER")`) the one for these.

        The first declared for a method wins; the plain one gets what is left.
        """
        if not isinstance(first, str):
            return self._declare(first, ())
        for method in (first, *methods):
            if not is_token(method) or method != method.upper():
                raise RoutesError(f"request_route: {method!r} is not a method; methods are written in capitals")
        return lambda function: self._declare(function, (first, *methods))

    def _declare(self, function: Route, methods: tuple[str, ...]) -> Route:
        _check(function, "request_route", "request", asynchronous=True)
        if not methods:
            if self.routes.plain is not None:
                raise _twice(function, "request_route", self.routes.plain)
            self.routes.plain = function
        for method in methods:
            self.routes.requests.setdefault(method, function)
        return function

    def reply_route(self, function: _A) -> _A:
        """Declare what runs on every response, before it goes on."""
        _check(function, "reply_route", "response", asynchronous=True)
        if self.routes.reply is not None:
            raise _twice(function, "reply_route", self.routes.reply)
        self.routes.reply = function
        return function

    def check(self) -> None:
        """Raise `RoutesError` where this router cannot be served.

        The source of its functions is looked at, too, where there is one: a missing `await` and an unknown
        pseudo-variable are errors here, not when a call comes. (`load_router` looks at the whole file.)
        """
        if self.routes.plain is None and not self.routes.requests:
            raise RoutesError(
                "the router has no request_route: nothing would be answered. Declare one with @router.request_route"
            )
        for function, kind in self.functions():
            check_function(function, kind)

    def functions(self) -> Iterator[tuple[Callable[..., Any], type]]:
        """Every function declared, and what it is called with."""
        routes = self.routes
        if routes.pre is not None:
            yield routes.pre, Frame
        yield from ((route, Request) for route in dict.fromkeys((*routes.requests.values(), routes.plain)) if route)
        if routes.reply is not None:
            yield routes.reply, Response

    def groups_to_run(self) -> tuple[WorkerGroup, ...]:
        """The groups to start: those declared, and `default` where it is needed."""
        if self.routes.pre is not None:
            return self.groups
        declared = {group.name: group for group in self.groups}
        # There is no script to decide what becomes of a frame it refuses.
        declared[DEFAULT_GROUP] = attrs.evolve(
            declared.get(DEFAULT_GROUP, WorkerGroup(DEFAULT_GROUP)), when_full="shed"
        )
        return tuple(declared.values())

    def __repr__(self) -> str:
        return f"<Router: groups {[group.name for group in self.groups]}, routes {sorted(self.routes.requests)}>"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _check(function: Any, what: str, argument: str, *, asynchronous: bool) -> None:
    if not callable(function):
        raise RoutesError(f"@router.{what} goes above a function, not {function!r}")
    if asynchronous and not inspect.iscoroutinefunction(function):
        raise _error(
            function,
            f"{what} has to be 'async def {function.__name__}({argument})': a plain function would hold the event "
            "loop, and with it all other calls, for as long as it runs. Code that blocks (a driver, a file) goes "
            "into a thread: await trio.to_thread.run_sync(function)",
        )
    if not asynchronous and inspect.iscoroutinefunction(function):
        raise _error(
            function,
            f"{what} has to be a plain 'def {function.__name__}({argument})': it runs in the receive task and must not "
            "wait. Whatever waits belongs in a request_route, in a worker group",
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        definition = f"{'async ' if asynchronous else ''}def {function.__name__}({argument})"
        raise _error(function, f"{what} is called with one argument, the {argument}: '{definition}'") from None
    except ValueError:
        pass  # a builtin without signature


def _twice(function: Any, what: str, other: Any) -> RoutesError:
    line = getattr(getattr(other, "__code__", None), "co_firstlineno", "?")
    return _error(
        function, f"the router has a {what} already (line {line}); there is one, and it may call other functions"
    )


def _error(function: Any, message: str) -> RoutesError:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return RoutesError(message)
    return RoutesError(message, code.co_filename, code.co_firstlineno)
