"""Find the router in a routes file.

    router = load_router("routes/sworker.py")

A routes file is a Python program, and what can go wrong in it is what can go wrong in any. Every way it fails
ends here in one `RoutesError`, which says what, in which file and on which line. The directory of a file (for
a module: the current one) stands first on `sys.path` while it is loaded, so that it can import its
neighbours.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import attrs

from trio_sip.errors import RoutesError
from trio_sip.routing.inspection import check_module, modules_from
from trio_sip.routing.router import Router
from trio_sip.routing.source import Source

__all__ = ["DEFAULT_NAME", "load_router"]

DEFAULT_NAME = "router"

_HOW = "write 'file.py', 'file.py:name', 'package.module' or 'package.module:name'"
_MODULE = re.compile(r"[^\W\d]\w*+(?:\.[^\W\d]\w*+)*+")


@attrs.frozen
class _Spec:
    """What was asked for: a path or the dotted name of a module; `name` is None where it was left out."""

    where: str
    name: str | None

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py") or os.sep in self.where


def load_router(spec: str) -> Router:
    """Load `file.py`, `file.py:name`, `package.module` or `package.module:name`, and give the `Router` of
    that name.

    The name is `router` where none is given. Raises `RoutesError`: no such file or module, it cannot be
    imported, it has no such router, the router has no route, or its source has a mistake that can be seen
    there (`trio_sip.routing.mistakes`).
    """
    wanted = _read_spec(spec)
    if wanted.is_file:
        path = Path(os.path.abspath(wanted.where))
        _check_file(wanted.where, path)
        directory = path.parent
        module = _execute(str(path), directory, lambda: _load_file(path))
    else:
        directory = Path.cwd()
        module = _execute(None, directory, lambda: _import_module(wanted.where))
    router = _find_router(module, wanted)
    _check_source(module, directory, router)
    return router


def _read_spec(spec: str) -> _Spec:
    where, colon, name = spec.rpartition(":")
    if not colon:
        where, name = spec, ""
    elif not name.isidentifier():
        raise RoutesError(f"routes {spec!r}: {name!r} is not the name of a router; {_HOW}")
    wanted = _Spec(where, name or None)
    if not wanted.is_file and not _MODULE.fullmatch(where):
        raise RoutesError(f"routes {spec!r}: neither a Python file nor a module; {_HOW}")
    return wanted


def _check_file(shown: str, path: Path) -> None:
    if not path.exists():
        raise RoutesError("no such file", shown)
    if not path.is_file():
        raise RoutesError("not a file", shown)


def _load_file(path: Path) -> ModuleType:
    # A name of its own: a file called json.py must not stand in for the module of that name.
    name = f"_routes_{path.stem}"
    loader = SourceFileLoader(name, str(path))
    found = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert found is not None  # it is None only where there is no loader
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise RoutesError(f"no module named {error.name!r}; {_HOW}") from error
        raise


def _execute(file: str | None, directory: Path, load: Callable[[], ModuleType]) -> ModuleType:
    try:
        with _first_on_path(str(directory)):
            return load()
    except RoutesError as error:
        if error.file is not None:
            raise
        raise RoutesError(str(error), *_place(error, file)) from error
    except SyntaxError as error:
        place = (error.filename, error.lineno) if error.filename else _place(error, file)
        raise RoutesError(f"{type(error).__name__}: {error.msg}", *place) from error
    except OSError as error:
        if _place(error, file) == (file, None):  # nothing of it has run
            raise RoutesError(f"cannot be read: {error.strerror or error}", file) from error
        raise _failure(error, file) from error
    except (Exception, SystemExit) as error:
        raise _failure(error, file) from error


def _failure(error: BaseException, file: str | None) -> RoutesError:
    text = str(error)
    return RoutesError(f"{type(error).__name__}{f': {text}' if text else ''}", *_place(error, file))


def _place(error: BaseException, file: str | None) -> tuple[str | None, int | None]:
    """The innermost line of the routes file on the way to the error; for a module, of what it ran."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename == file or (file is None and not _is_machinery(frame.filename)):
            return frame.filename, frame.lineno
    return file, None


def _is_machinery(filename: str) -> bool:
    """Whether this is the code that imports, or ours that refuses, rather than what is imported."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return filename.startswith(("<frozen", package + os.sep)) or filename == importlib.__file__


@contextmanager
def _first_on_path(directory: str) -> Iterator[None]:
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if directory in sys.path:
            sys.path.remove(directory)


def _find_router(module: ModuleType, wanted: _Spec) -> Router:
    file = getattr(module, "__file__", None) or wanted.where
    name = wanted.name or DEFAULT_NAME
    if name not in vars(module):
        raise RoutesError(_no_such_router(module, wanted, name), file)
    router = vars(module)[name]
    if not isinstance(router, Router):
        kind = "the class Router itself" if router is Router else f"a {type(router).__name__}"
        raise RoutesError(f"{name} has to be a trio_sip.Router, as in '{name} = Router()', and is {kind}", file)
    try:
        router.check()
    except RoutesError as error:
        if error.file is not None:
            raise
        raise RoutesError(f"{name}: {error}", file) from error
    return router


def _no_such_router(module: ModuleType, wanted: _Spec, name: str) -> str:
    others = [other for other, value in vars(module).items() if isinstance(value, Router)]
    if not others:
        return f"no Router in it; make one: '{name} = Router(...)'"
    specs = [f"{wanted.where}:{other}" for other in others]
    if len(specs) == 1:
        return f"no {name!r} in it, but a Router of another name: say {specs[0]}, or call it {name}"
    return f"no {name!r} in it, but Routers of other names: say which, {' or '.join(specs)}"


def _check_source(module: ModuleType, directory: Path, router: Router) -> None:
    """Look for mistakes in the file, and in the files beside it that it imports."""
    routers = [value for value in (router, *vars(module).values()) if isinstance(value, Router)]
    roles = [role for each in routers for role in each.functions()]
    for each in modules_from(module, directory):
        source = check_module(each, roles)
        if source is not None:
            _check_made_once(source, each)


def _check_made_once(source: Source, module: ModuleType) -> None:
    made: dict[str, int] = {}
    for name, value, line in source.top_level_calls():
        if value is not Router:
            continue
        if name in made:
            raise RoutesError(
                f"{name} is made a second time (the first is in line {made[name]}), and what was declared on the first "
                "is lost; make one, or give each a name of its own",
                module.__file__,
                line,
            )
        made[name] = line
