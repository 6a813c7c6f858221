"""The same script in Kamailio and here, on the same messages: what is not the same is listed, with a reason.

`side_by_side_messages` has the messages, `side_by_side_servers` the scripts, `side_by_side_differences` the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
from interop.programs import program
from interop.side_by_side_comparison import Comparable, Names, comparable, differences
from interop.side_by_side_differences import DIFFERENCES
from interop.side_by_side_messages import CASES
from interop.side_by_side_servers import Answers, collect

pytestmark = [pytest.mark.sockets, pytest.mark.peer]

NAMES = [case.name for case in CASES]
LISTED = {(row.case, row.what): row for row in DIFFERENCES}
OWN_VIA = re.compile(rb"\r\nVia: SIP/2\.0/UDP 127\.0\.0\.1:(\d+);branch=[^;\r]+(;rport)?")

Of = Callable[[str], Answers]


@pytest.fixture(scope="module")
def answers_of(tmp_path_factory: pytest.TempPathFactory) -> Of:
    """What a server of `SERVERS` has answered; each is run once."""
    program("kamailio")
    return cache(lambda server: collect(server, tmp_path_factory.mktemp(server)))


def comparables(answers: Answers, case: str) -> list[Comparable]:
    names = Names(answers.parties)
    return [comparable(got.party, got.data, names) for got in answers.by_case[case]]


def test_cases_and_rows_are_named_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len(LISTED) == len(DIFFERENCES)
    assert {row.case for row in DIFFERENCES} <= set(NAMES)


@pytest.mark.parametrize("case", NAMES)
def test_what_differs_is_listed_and_what_is_listed_differs(answers_of: Of, case: str) -> None:
    theirs, ours = comparables(answers_of("kamailio"), case), comparables(answers_of("ours"), case)
    listed = {row.what: (row.theirs, row.ours) for row in DIFFERENCES if row.case == case}
    assert differences(theirs, ours) == listed  # (Kamailio's, ours)


@pytest.mark.parametrize("case", NAMES)
def test_kamailios_python_does_as_its_own_language(answers_of: Of, case: str) -> None:
    assert differences(comparables(answers_of("kamailio"), case), comparables(answers_of("kemi"), case)) == {}


@pytest.mark.parametrize("case", NAMES)
def test_kamailios_words_do_as_ours(answers_of: Of, case: str) -> None:
    assert differences(comparables(answers_of("ours"), case), comparables(answers_of("words"), case)) == {}


def test_our_via_asks_for_rport_and_kamailios_does_not(answers_of: Of) -> None:
    """RFC 3581 3: so answers find us behind a NAT. Kamailio asks where the script says `add_local_rport()`."""
    for server, asked in (("kamailio", b""), ("ours", b";rport")):
        answers = answers_of(server)
        forwarded = OWN_VIA.search(answers.by_case["invite"][0].data)
        assert forwarded
        assert (int(forwarded[1]), forwarded[2] or b"") == (answers.parties.server, asked)


def test_the_answers_compared_are_answers(answers_of: Of) -> None:
    """Two servers that say nothing would be the same as well."""
    for server in ("kamailio", "ours"):
        heard = [name for name, got in answers_of(server).by_case.items() if got]
        assert len(heard) > len(NAMES) * 0.7
