from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from trio_sip.cli.logs import JsonFormatter, TextFormatter
from trio_sip.cli.output import printable, table

FORGED = "bye\r\n2026-01-31 12:00:00.000 INFO trio_sip: all is well\x1b[2J\u202e\udcff"


def record(message: str, *arguments: object, name: str = "trio_sip.routing", failed: bool = False) -> logging.LogRecord:
    info = None
    if failed:
        try:
            raise ValueError(*arguments)
        except ValueError:
            info, arguments = sys.exc_info(), ()
    return logging.LogRecord(name, logging.WARNING, "file.py", 1, message, arguments, info)


def test_a_line_of_text() -> None:
    line = TextFormatter().format(record("%s lost", "one"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING trio_sip\.routing: one lost", line)


def test_nobody_forges_a_line_of_text() -> None:
    line = TextFormatter().format(record("peer said %s", FORGED))
    assert line.isprintable()
    assert line.endswith(r"peer said bye\r\n2026-01-31 12:00:00.000 INFO trio_sip: all is well\x1b[2J\u202e\xff")


def test_a_traceback_is_indented_and_its_message_is_no_line_of_the_log() -> None:
    lines = TextFormatter().format(record("route raised", FORGED, failed=True)).split("\n")
    assert lines[0].endswith(": route raised")
    assert "    Traceback (most recent call last):" in lines
    assert all(line.startswith("    ") and line.isprintable() for line in lines[1:])


def test_the_stack_of_the_watchdog_stays_a_stack() -> None:
    stack = 'it is at:\n  File "routes.py", line 3\n    time.sleep(1)'
    lines = TextFormatter().format(record(stack, name="trio_sip.watchdog")).split("\n")
    assert lines[1:] == ['      File "routes.py", line 3', "        time.sleep(1)"]


def test_an_object_of_json() -> None:
    line = JsonFormatter().format(record("peer said %s", FORGED))
    assert line.isascii()
    assert "\n" not in line
    fields = json.loads(line)
    assert list(fields) == ["time", "level", "logger", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", fields["time"])
    assert (fields["level"], fields["logger"]) == ("warning", "trio_sip.routing")
    assert fields["message"] == f"peer said {FORGED[:-1]}\\xff"


def test_an_exception_in_json() -> None:
    fields = json.loads(JsonFormatter().format(record("route raised", "why", failed=True)))
    assert fields["message"] == "route raised"
    assert fields["exception"].startswith("Traceback (most recent call last):\n")
    assert fields["exception"].endswith("ValueError: why")


@pytest.mark.parametrize("text", ["", "200 OK", "M\u00fcller", "a\\n"])
def test_what_is_visible_stays(text: str) -> None:
    assert printable(text) == text


def test_a_table() -> None:
    assert table("ports", ("name", "n"), [("a", "10"), ("longer", "1")]).split("\n") == [
        "ports",
        "  name    n",
        "  a       10",
        "  longer  1",
    ]
    assert table("ports", ("name",), []) == "ports: none"
