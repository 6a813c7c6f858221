"""Log lines on standard error, as text or as JSON.

What is logged holds what peers wrote: reasons, Call-IDs, users. It is escaped here, in one place, so that
nobody can forge a line: in text a line of the log begins with its time, and whatever else there is of it (a
traceback) is indented.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

from trio_sip.cli.output import printable

__all__ = ["JsonFormatter", "LogFormat", "LogLevel", "TextFormatter", "set_up_logging"]

_INDENT = "    "
_WITH_STACK = "trio_sip.watchdog"
"""The logger whose messages end in a stack of ours, several lines long."""


class LogLevel(StrEnum):
    """Values of `--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Values of `--log-format`."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00.123 INFO trio_sip.routing: message`, local time; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        time = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        message = record.getMessage()
        if record.name == _WITH_STACK:
            message, *more = message.splitlines() or [""]
        else:
            more = []
        more += _details(self, record)
        head = f"{time} {record.levelname} {record.name}: {printable(message)}"
        return "\n".join([head, *(_INDENT + printable(line) for line in more)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _unicode(record.getMessage()),
        }
        if details := _details(self, record):
            fields["exception"] = _unicode("\n".join(details))
        return json.dumps(fields)


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The lines of a traceback or a stack."""
    lines: list[str] = []
    if record.exc_info and record.exc_info[0] is not None:
        lines += formatter.formatException(record.exc_info).split("\n")
    if record.stack_info:
        lines += record.stack_info.split("\n")
    return lines


def _unicode(text: str) -> str:
    """`text` without lone surrogates, which JSON can write and hardly anybody can read."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def set_up_logging(level: LogLevel, style: LogFormat) -> None:
    """Log to standard error, from `level` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
