"""The public names are exactly those documented: here, and in the table of README."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import trio_sip
import trio_sip.kamailio
import trio_sip.testing
from trio_sip.transport.network import Network

PUBLIC = {
    *(
        "Address",
        "CSeq",
        "Frame",
        "Headers",
        "NameAddr",
        "Request",
        "Response",
        "Router",
        "Server",
        "Uri",
        "Via",
    ),
    *("WorkerGroup", "__version__", "serve"),
    *(
        "ListenError",
        "LocalProtocolError",
        "RemoteProtocolError",
        "RoutesError",
        "SipError",
        "TransportError",
    ),
}
TESTING = {
    *("Call", "Endpoint", "NothingReceived", "SimulatedNetwork", "TraceRecord", "UnexpectedMessage", "UserAgent"),
    *("assert_no_leaks", "ladder", "make_request", "make_response"),
}
KAMAILIO = {
    *("drop", "forward", "is_method", "pv_get", "pv_set", "sl_send_reply", "sworker_active", "sworker_task"),
    *("xdbg", "xerr", "xinfo", "xwarn"),
}


def names_in_readme(heading: str) -> set[str]:
    """What stands in backquotes in the second column of the table row that begins with `heading`."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    [row] = re.findall(rf"^\| `{re.escape(heading)}` \| (.*) \|$", text, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))


def test_the_names_of_the_package() -> None:
    assert set(trio_sip.__all__) == PUBLIC == names_in_readme("trio_sip")
    assert len(trio_sip.__all__) == len(PUBLIC)


def test_the_names_of_the_test_kit() -> None:
    assert set(trio_sip.testing.__all__) == TESTING == names_in_readme("trio_sip.testing")


def test_kamailios_words() -> None:
    assert set(trio_sip.kamailio.__all__) == KAMAILIO == names_in_readme("trio_sip.kamailio")
    assert all(inspect.getdoc(getattr(trio_sip.kamailio, word)) for word in KAMAILIO)


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}) + sorted(f"testing.{name}" for name in TESTING))
def test_each_is_there_and_documented(name: str) -> None:
    thing = trio_sip.testing if name.startswith("testing.") else trio_sip
    thing = getattr(thing, name.removeprefix("testing."))
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        silent = [
            member
            for member, value in vars(thing).items()
            if not member.startswith("_")
            and (inspect.isfunction(value) or isinstance(value, property))
            and not inspect.getdoc(value)
            and not any(hasattr(promise, member) for promise in (*thing.__mro__[1:], Network))
        ]
        assert not silent, f"{name} has members without docstring"
