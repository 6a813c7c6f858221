from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sip.message.framing import FramingError, FramingLimits, StreamFramer

LIMITS = FramingLimits(header=200, body=64)

EMPTY = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n"
LOOKALIKE = b"OPTIONS sip:b SIP/2.0\r\nl: 0\r\n\r\n"
WITH_BODY = b"MESSAGE sip:a SIP/2.0\r\nl:%d\r\n\r\n%b" % (len(LOOKALIKE), LOOKALIKE)
UNLUCKY_BODY = b"MESSAGE sip:a SIP/2.0\r\nl:5\r\n\r\n\r\n\r\n\r"


def message(*header: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"OPTIONS sip:a SIP/2.0", *header, b"", body])


class Outcome:
    """All that can be seen of a framer once it was fed."""

    def __init__(self, pieces: Iterable[bytes], limits: FramingLimits = LIMITS) -> None:
        framer = StreamFramer(limits)
        self.messages: list[bytes] = []
        self.error: tuple[int, str, bytes | None] | None = None
        for piece in pieces:
            framer.feed(piece)
            try:
                self.messages += iter(framer.next_message, None)
            except FramingError as error:
                self.error = (error.status, str(error), error.data)
        self.pongs = framer.take_pongs()
        self.is_partial = framer.is_partial

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# name: (bytes, messages, status of the error or None, pongs, partial)
STREAMS: dict[str, tuple[bytes, list[bytes], int | None, int, bool]] = {
    "nothing": (b"", [], None, 0, False),
    "one": (EMPTY, [EMPTY], None, 0, False),
    "two": (EMPTY + WITH_BODY, [EMPTY, WITH_BODY], None, 0, False),
    "body like a message": (WITH_BODY + EMPTY, [WITH_BODY, EMPTY], None, 0, False),
    "body of line ends": (UNLUCKY_BODY + EMPTY, [UNLUCKY_BODY, EMPTY], None, 0, False),
    "trailing bytes": (EMPTY + b"OPT", [EMPTY], None, 0, True),
    "half a body": (WITH_BODY[:-1], [], None, 0, True),
    "leading empty line": (b"\r\n" + EMPTY, [EMPTY], None, 0, False),
    "ping": (b"\r\n\r\n", [], None, 1, False),
    "ping, then a message": (b"\r\n\r\n\r\n" + EMPTY, [EMPTY], None, 1, False),
    "pings between": (EMPTY + b"\r\n\r\n" + EMPTY + b"\r\n\r\n\r\n\r\n", [EMPTY, EMPTY], None, 3, False),
    "halves of a ping apart": (b"\r\n" + EMPTY + b"\r\n", [EMPTY], None, 0, False),
    "half an empty line": (EMPTY + b"\r", [EMPTY], None, 0, True),
    "not an empty line": (b"\n" + EMPTY, [b"\n" + EMPTY], None, 0, False),
    "absent": (message(b"To: a") + EMPTY, [], 400, 0, False),
    "no header at all": (b"OPTIONS sip:a SIP/2.0\r\n\r\n", [], 400, 0, False),
    "after a good one": (EMPTY + message(b"To: a"), [EMPTY], 400, 0, False),
    "different": (message(b"Content-Length: 5", b"l: 0", body=b"xxxxx") + EMPTY, [], 400, 0, False),
    "not a number": (message(b"l: 1_0"), [], 400, 0, False),
    "signed": (message(b"l: +0"), [], 400, 0, False),
    "negative": (message(b"l: -1"), [], 400, 0, False),
    "other digits": (message("l: \u0663".encode()), [], 400, 0, False),
    "empty value": (message(b"l:"), [], 400, 0, False),
    "list": (message(b"l: 0, 0"), [], 400, 0, False),
    "bare CR in the value": (message(b"l: 0\r"), [], 400, 0, False),
    "too large": (message(b"l: 65") + EMPTY, [], 413, 0, False),
    "2 ** 31": (message(b"l: 2147483648") + EMPTY, [], 413, 0, False),
    "2 ** 64 + 10": (message(b"l: 18446744073709551626") + EMPTY, [], 413, 0, False),
    "too many header bytes": (message(b"To: " + b"a" * 200, b"l: 0"), [], 400, 0, False),
    "endless header": (b"O" * 300, [], 400, 0, False),
    "only in a fold": (message(b"Subject: x", b" Content-Length: 0"), [], 400, 0, False),
    "only behind a bare LF": (message(b"Subject: x\nContent-Length: 0"), [], 400, 0, False),
    "only behind a bare CR": (message(b"Subject: x\rContent-Length: 0"), [], 400, 0, False),
    "part of a name": (message(b"X-Content-Length: 0", b"Content-Length-X: 0", b"ll: 0"), [], 400, 0, False),
}


@pytest.mark.parametrize("name", STREAMS)
def test_stream(name: str) -> None:
    data, messages, status, pongs, is_partial = STREAMS[name]
    outcome = Outcome([data])
    assert outcome.messages == messages
    assert (outcome.error and outcome.error[0]) == status
    assert (outcome.pongs, outcome.is_partial) == (pongs, is_partial)


@pytest.mark.parametrize("name", STREAMS)
def test_every_split_gives_the_same(name: str) -> None:
    data = STREAMS[name][0]
    whole = Outcome([data])
    assert Outcome(bytewise(data)) == whole
    for at in range(len(data)):
        assert Outcome([data[:at], data[at:]]) == whole


@given(
    st.lists(st.sampled_from([data for data, *_ in STREAMS.values()]), max_size=4).map(b"".join),
    st.lists(st.integers(0, 600)),
)
def test_random_splits_of_many_streams(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert Outcome(pieces) == Outcome([data])


@given(st.lists(st.sampled_from([b"\r", b"\n", b"l", b":", b" ", b"1", b"0", b"Content-Length", b"\0", b"a"])))
def test_any_bytes_give_messages_or_a_framing_error(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert Outcome(bytewise(data)) == Outcome([data])


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5",
        b"CONTENT-LENGTH:5",
        b"content-length \t: 5",
        b"l:5",
        b"L :\t5 \t",
        b"l: 00000000000000000005",
        b"l:\r\n 5",
        b"l: \r\n\t5\r\n ",
    ],
)
def test_content_length_as_the_grammar_allows(line: bytes) -> None:
    data = message(b"To: a", line, b"Subject: b", body=b"12345")
    assert Outcome([data + EMPTY]).messages == [data, EMPTY]


def test_the_same_length_twice_does_not_move_a_boundary() -> None:
    data = message(b"Content-Length: 2", b"l: 02", body=b"hi")
    assert Outcome([data + EMPTY]).messages == [data, EMPTY]


def test_header_and_body_at_their_limits() -> None:
    body = b"x" * 64
    head = message(b"l: 64", b"To: ")
    head = head.replace(b"To: ", b"To: " + b"a" * (200 - len(head)))
    assert len(head) == 200
    assert Outcome([head + body]).messages == [head + body]
    assert Outcome([head.replace(b"To", b"Tom") + body]).error is not None


def test_both_together_have_a_limit_too() -> None:
    error = Outcome([message(b"l: 30")], FramingLimits(header=200, body=64, message=60)).error
    assert error is not None
    assert error[0] == 413


def test_an_error_gives_the_header_section_for_the_answer_and_stays() -> None:
    refused = message(b"Call-ID: x", b"l: 65")
    framer = StreamFramer(LIMITS)
    framer.feed(refused + b"body")
    for _ in range(2):
        with pytest.raises(FramingError) as caught:
            framer.next_message()
        assert caught.value.data == refused
        framer.feed(EMPTY)
    assert not framer.is_partial


def test_no_header_section_no_data() -> None:
    error = Outcome([b"x" * 200]).error
    assert error == (400, "the header section is longer than 200 bytes", None)


def test_a_declared_length_reserves_nothing() -> None:
    framer = StreamFramer()
    framer.feed(message(b"l: 65000"))
    assert framer.next_message() is None
    assert len(framer._buffer) < 100


def test_what_was_searched_is_not_searched_again() -> None:
    framer = StreamFramer()
    for size in range(1, 5000):
        framer.feed(b"a")
        assert framer.next_message() is None
        assert size - framer._searched <= 3


def test_repr() -> None:
    framer = StreamFramer()
    assert repr(framer) == "<StreamFramer between messages, 0 bytes buffered>"
    framer.feed(b"OPT")
    assert repr(framer) == "<StreamFramer partial, 3 bytes buffered>"


def corpus_streams() -> list[Path]:
    corpus = os.environ.get("TRIO_SIP_CORPUS")
    return sorted(Path(corpus, "hostile", "stream").glob("*.tcp")) if corpus else []


@pytest.mark.skipif(not corpus_streams(), reason="TRIO_SIP_CORPUS is not set")
def test_corpus_streams() -> None:
    expected = {
        "body_looks_like_sip": (2, None),
        "cl_dup_diff": (0, 400),
        "cl_max32_smuggle": (0, 413),
        "cl_neg32_smuggle": (0, 413),
        "cl_wrap64_smuggle": (0, 413),
        "no_cl_tcp": (0, 400),
        "pipelined_2": (2, None),
        "slow_first_line": (0, None),
    }
    for path in corpus_streams():
        outcome = Outcome([path.read_bytes()], FramingLimits())
        assert Outcome(bytewise(path.read_bytes()), FramingLimits()) == outcome
        status = outcome.error[0] if outcome.error else None
        assert (len(outcome.messages), status) == expected[path.stem]
