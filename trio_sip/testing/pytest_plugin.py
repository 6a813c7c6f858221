"""What the fixtures of `pytest_trio_sip` do: one `SimulatedRun` for each test that uses them.

Such a test is run by pytest-trio without being asked to, under a mock clock that jumps (unless it brings a clock of its
own), with the order of tasks pinned by the seed. It has `TEST_SECONDS` of virtual time. Where all that went wrong is
one exception, that is what pytest shows, and not the groups Trio's nurseries have wrapped it in.

The seed is 1 unless `--sip-seed` or the test's `sip_network` mark says otherwise; the mark wins, as its author counts
on that run. It is not made from the test's name: a test would have another run for being renamed, moved or
parametrised, two tests could not be compared line by line, and `SimulatedNetwork()` in a program of one's own would
show something else. For other runs of a whole suite give it other seeds.
"""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
import trio.testing

from pytest_trio_sip import FIXTURES, SECTION
from trio_sip.errors import RoutesError
from trio_sip.routing.load import load_router
from trio_sip.routing.router import Router
from trio_sip.testing.ladder import WIDTH, render
from trio_sip.testing.simulated_network import SimulatedNetwork
from trio_sip.testing.simulated_run import SimulatedRun, leaves
from trio_sip.testing.task_order import pinned_task_order

__all__ = ["load_routes", "open_run", "prepare", "run_of"]

_DEFAULT_SEED = 1
_HOW_TO_GIVE_ROUTES = (
    "Name it above the test, @pytest.mark.sip_routes('routes.py'), or for all tests in pytest's configuration:"
    " sip_routes = routes.py"
)

_NARROWEST = 80
_WIDEST = 130  # of a diagram, where the terminal is wider

_PREPARED = pytest.StashKey[bool]()
_RUN = pytest.StashKey[SimulatedRun]()

# Hooks


def prepare(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Have these tests run by pytest-trio, and reported by this plugin."""
    if not config.pluginmanager.has_plugin("trio_sip_runs"):
        config.pluginmanager.register(_Hooks(), "trio_sip_runs")
    if _has_pytest_trio(config):
        for item in items:
            if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
                item.stash[_PREPARED] = True
                item.add_marker(pytest.mark.trio(run=partial(_run, item)), append=False)


def _has_pytest_trio(config: pytest.Config) -> bool:
    return any(config.pluginmanager.has_plugin(name) for name in ("trio", "pytest_trio.plugin"))


class _Hooks:
    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        if isinstance(item, pytest.Function) and _RUN in item.stash and inspect.iscoroutinefunction(item.obj):
            item.obj = _watched(item)
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        report: pytest.TestReport = (yield).get_result()
        run = item.stash.get(_RUN, None)
        if run is not None and report.when == "call" and (report.failed or item.config.getoption("sip_ladder")):
            report.sections.append(_describe(run, item))


def _describe(run: SimulatedRun, item: pytest.Item) -> tuple[str, str]:
    """Title and text of the report section: the sequence diagram, and how to see it again."""
    network = run.network
    width = min(max(shutil.get_terminal_size((WIDTH, 24)).columns, _NARROWEST), _WIDEST)
    records = network.trace[: run.sent]
    notes = [] if run.ended is None else [(run.ended, "the test ended")]
    diagram = render(records, network.names, width=width, notes=notes)
    option = f"--sip-seed {network.seed} " if network.seed == _seed(item) else ""  # else it stands in the test's mark
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    name = f"{file}::{str(item.nodeid).partition('::')[2]}"
    return f"{SECTION}, seed {network.seed}", f"{diagram}\n\nThe same run again: pytest {option}{shlex.quote(name)}"


def _watched(item: pytest.Function) -> Callable[..., Awaitable[None]]:
    test = item.obj

    @wraps(test)
    async def watched(**arguments: Any) -> None:
        __tracebackhide__ = True
        await item.stash[_RUN].carry_out(partial(test, **arguments), item)

    return watched


def _run(
    item: pytest.Item,
    main: Callable[..., Awaitable[Any]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> Any:
    """What pytest-trio calls for `trio.run`."""
    __tracebackhide__ = True
    run = item.stash[_RUN]
    try:
        with pinned_task_order(run.network.seed), run.order:
            return _inner_run(item)(
                main,
                clock=trio.testing.MockClock(autojump_threshold=0) if clock is None else clock,
                instruments=instruments,
            )
    except BaseExceptionGroup as group:
        error = _plain(group)
    # A failure without a traceback needs one frame that is not hidden, or pytest adds a line on that.
    __tracebackhide__ = getattr(error, "pytrace", True)
    raise error


def _inner_run(item: pytest.Item) -> Callable[..., Any]:
    """The runner of the test's own `trio` mark, where it has one."""
    for mark in item.iter_markers("trio"):
        given = mark.kwargs.get("run")
        if given is not None and getattr(given, "func", None) is not _run:
            return given  # type: ignore[no-any-return]
    return trio.run


def _plain(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in a group of groups; the group itself where there are more."""
    found = list({id(leaf): leaf for leaf in leaves(group)}.values())
    return found[0] if len(found) == 1 else group


# Fixtures


def run_of(request: pytest.FixtureRequest) -> SimulatedRun:
    """The run `open_run` has made for this test."""
    run: SimulatedRun = request.node.stash[_RUN]
    return run


def open_run(request: pytest.FixtureRequest) -> SimulatedRun:
    """Make the run of a test. A test that cannot have one fails, and is told why."""
    item = request.node
    _check_test(item)
    conditions = {"seed": _seed(item), **_conditions(item)}
    try:
        network = SimulatedNetwork(**conditions)
    except (TypeError, ValueError) as error:
        _refuse(f"{item.name}: @pytest.mark.sip_network: {error}")
    run = item.stash[_RUN] = SimulatedRun(network, partial(_find, places=_places(item)))
    return run


def _seed(item: pytest.Item) -> int:
    given: int | None = item.config.getoption("sip_seed")
    return _DEFAULT_SEED if given is None else given


def _places(item: pytest.Item) -> tuple[Path, Path]:
    """Where the routes files of a test are looked for."""
    return item.path.parent, item.config.rootpath


def _check_test(item: pytest.Function) -> None:
    own = inspect.signature(inspect.unwrap(item.obj)).parameters
    used = ", ".join(name for name in own if name in FIXTURES) or "sip_network"
    if hasattr(item.obj, "hypothesis"):
        _refuse(
            f"{item.name} uses {used} under @given, which calls it many times, and there is one network for each test."
            " Make a SimulatedNetwork in the test instead"
        )
    if not inspect.iscoroutinefunction(inspect.unwrap(item.obj)):
        name = item.originalname
        _refuse(f"{item.name} uses {used} and is a plain function; make it 'async def {name}(...)'")
    if not _has_pytest_trio(item.config):
        _refuse(f"{used}: pytest-trio is needed to run the test, and it is switched off or not installed")
    if type(item).__module__.startswith("pytest_asyncio"):
        _refuse(f"{used}: pytest-asyncio takes every async test; give its own a mark and set asyncio_mode = strict")
    if _PREPARED not in item.stash:
        _refuse(f"{item.name} uses sip_network by request.getfixturevalue(); make it an argument of the test")


def _conditions(item: pytest.Item) -> dict[str, Any]:
    """What the nearest `sip_network` mark says."""
    mark = item.get_closest_marker("sip_network")
    known = list(inspect.signature(SimulatedNetwork).parameters)
    if mark is None:
        return {}
    wrong = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in known)]
    if wrong:
        _refuse(f"{item.name}: @pytest.mark.sip_network knows no {', '.join(wrong)}; it takes {', '.join(known)}")
    return dict(mark.kwargs)


def load_routes(request: pytest.FixtureRequest) -> Router:
    """The router of the test's mark or of the configuration. What is wrong with it is shown without a traceback."""
    item = request.node
    mark = item.get_closest_marker("sip_routes")
    places = _places(item)
    if mark is None:
        given, places = item.config.getini("sip_routes"), places[::-1]
    elif len(mark.args) == 1 and not mark.kwargs:
        given = mark.args[0]
    else:
        _refuse(f"{item.name}: @pytest.mark.sip_routes takes one routes file, as in sip_routes('routes.py')")
    if isinstance(given, Router):
        return given
    if not isinstance(given, (str, Path)):
        _refuse(f"{item.name}: @pytest.mark.sip_routes takes a routes file or a Router, not {given!r}")
    if not str(given):
        _refuse(f"{item.name}: sip_server does not know which routes file to serve. {_HOW_TO_GIVE_ROUTES}")
    try:
        return load_router(_find(str(given), places))
    except RoutesError as error:
        _refuse(str(error))


def _find(spec: str, places: Sequence[Path]) -> str:
    """The spec with the path of its file made absolute; a module's name as it is."""
    file, colon, name = spec.partition(":")
    if not (file.endswith(".py") or os.sep in file):
        return spec
    found = next((place / file for place in places if (place / file).is_file()), None)
    if found is None:
        looked = " or ".join(str(place) for place in dict.fromkeys(places))
        _refuse(f"there is no routes file {file!r} in {looked}. {_HOW_TO_GIVE_ROUTES}")
    return f"{found}{colon}{name}"


def _refuse(text: str) -> NoReturn:
    raise pytest.fail.Exception(text, pytrace=False) from None
