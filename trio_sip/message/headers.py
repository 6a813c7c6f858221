"""Header lines in the order they came, found by name.

A header keeps its raw line: its case, its folds, its place. Only a line that is changed is written anew, as
`Name: value`. Names compare without case, and a compact form is the same name as its long form (RFC 3261 7.3.3).
Values are handed out as `str`, folded lines joined, decoded as UTF-8 with `surrogateescape`, so that every byte
survives.

>>> headers = Headers()
>>> headers.add("Subject", "lunch")
>>> headers["s"], "SUBJECT" in headers
('lunch', True)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import overload

from trio_sip.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["COMPACT_FORMS", "Headers", "header_key", "raw_value", "value_of"]

COMPACT_FORMS = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_LONGEST_REMEMBERED = 64  # bytes of a header name, so that what is remembered is bounded
# token: one or more of alphanum - . ! % * _ + ` ' ~
_TOKEN = re.compile(rb"[0-9A-Za-z\-.!%*_+`'~]++")
# Folding: a line break before SP or HT is white space (RFC 3261 7.3.1).
# The look-behind keeps a long run of blanks linear.
_FOLD = re.compile(rb"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)+")
# What would end a line or hide the rest of it. A script may never bring one in.
# A surrogate stands for a byte only from U+DC80 to U+DCFF.
_LINE_BREAKING = re.compile(r"[\r\n\0\ud800-\udc7f\udd00-\udfff]")


def header_key(name: bytes) -> str:
    """The one spelling a header name is compared by: `b"V"` and `b"via"` both give `"via"`.

    Raises `RemoteProtocolError` where the name is not a token. White space before the colon is not part of a name.
    """
    return _header_key_remembered(name) if len(name) <= _LONGEST_REMEMBERED else _header_key(name)


def _header_key(name: bytes) -> str:
    stripped = name.rstrip(b" \t")
    if not _TOKEN.fullmatch(stripped):
        raise RemoteProtocolError(f"a header name must be a token, not {stripped[:40]!r}")
    lower = stripped.decode("ascii").lower()
    return COMPACT_FORMS.get(lower, lower)


_header_key_remembered = lru_cache(maxsize=2048)(_header_key)


@lru_cache(maxsize=2048)
def _key_of(name: str) -> str:
    try:
        return header_key(name.encode())
    except (RemoteProtocolError, UnicodeEncodeError):
        raise LocalProtocolError(f"{name!r} is not a header name: it must be a token (RFC 3261 25.1)") from None


class Headers:
    """A case-insensitive, ordered multi-mapping of header names to values (`str`)."""

    __slots__ = ("_keys", "_lines", "edited")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._keys: list[str] = []
        self._lines: list[bytes] = []
        self.edited = False
        for name, value in items:
            self.add(name, value)

    @classmethod
    def from_lines(cls, keys: Iterable[str], lines: list[bytes]) -> Headers:
        """Headers around raw lines (without their CRLF) whose keys are known."""
        headers = cls.__new__(cls)
        headers._keys = list(keys)
        headers._lines = lines
        headers.edited = False
        return headers

    @property
    def lines(self) -> list[bytes]:
        """The raw lines, without CRLF, in order. Not to be changed."""
        return self._lines

    @property
    def keys(self) -> list[str]:
        """The `header_key` of each line, in order. Not to be changed."""
        return self._keys

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of the first line called `name`, or `default`."""
        key = _key_of(name)
        if key not in self._keys:
            return default
        return value_of(self._lines[self._keys.index(key)])

    def get_all(self, name: str) -> list[str]:
        """The value of every line called `name`, in order. A comma-joined line is one value."""
        key = _key_of(name)
        return [value_of(line) for k, line in zip(self._keys, self._lines, strict=True) if k == key]

    def add(self, name: str, value: str, *, first: bool = False) -> None:
        """Add a line at the end; with `first`, before all others of its name (or of any name, where it is new).

        Raises `LocalProtocolError` where name or value would not stay one header line.
        """
        line = _line(name, value)
        key = _key_of(name)
        at = len(self._keys)
        if first:
            at = self._keys.index(key) if key in self._keys else 0
        self._insert(at, key, line)

    def set(self, name: str, value: str) -> None:
        """Make `value` the only value of `name`, where its first line stood, or at the end. Raises as `add`."""
        line = _line(name, value)
        key = _key_of(name)
        at = self._keys.index(key) if key in self._keys else len(self._keys)
        self.remove(name)
        self._insert(at, key, line)

    def remove(self, name: str) -> int:
        """Remove every line called `name`; returns how many there were."""
        key = _key_of(name)
        places = [at for at, k in enumerate(self._keys) if k == key]
        for at in reversed(places):
            self.remove_line(at)
        return len(places)

    def remove_line(self, at: int) -> None:
        """Remove the line at this place."""
        del self._keys[at], self._lines[at]
        self.edited = True

    def replace_line(self, at: int, name: str, value: str) -> None:
        """Write the line at this place anew. Raises as `add`."""
        self._lines[at] = _line(name, value)
        self._keys[at] = _key_of(name)
        self.edited = True

    def copy(self) -> Headers:
        """The same lines in an object of their own."""
        other = Headers.from_lines(self._keys, list(self._lines))
        other.edited = self.edited
        return other

    def _insert(self, at: int, key: str, line: bytes) -> None:
        self._keys.insert(at, key)
        self._lines.insert(at, line)
        self.edited = True

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key_of(name) in self._keys

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for line in self._lines:
            yield _name_of(line), value_of(line)

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lines == other._lines

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


def _name_of(line: bytes) -> str:
    return line.partition(b":")[0].rstrip(b" \t").decode("ascii", "replace")


def value_of(line: bytes) -> str:
    """The value of a raw header line: folds joined, outer white space gone."""
    return raw_value(line).decode("utf-8", "surrogateescape")


def raw_value(line: bytes) -> bytes:
    """The same in bytes."""
    value = line.partition(b":")[2]
    if b"\n" in value:
        value = _FOLD.sub(b" ", value)
    return value.strip(b" \t")


def _line(name: str, value: str) -> bytes:
    if _key_of(name) and name[-1] in " \t":
        raise LocalProtocolError(f"{name!r} is not a header name: it ends in white space")
    if _LINE_BREAKING.search(value):
        raise LocalProtocolError(f"the value of {name} may not hold CR, LF, NUL or lone surrogates: {value[:60]!r}")
    return f"{name}: {value}".encode("utf-8", "surrogateescape")
