from __future__ import annotations

import pytest
from proxy_messages import request

from trio_sip.identifiers import Identifiers
from trio_sip.message.model import Request
from trio_sip.proxy.branch import branch_for

IDENTIFIERS = Identifiers(1)


def branch(message: Request) -> bytes:
    return branch_for(message, IDENTIFIERS)


def test_it_has_the_cookie() -> None:
    assert branch(request()).startswith(b"z9hG4bK")


@pytest.mark.parametrize(
    "other",
    [
        request(),
        request(body="another body"),
        request(hops="7"),
        request("Subject: x"),
        request(method="CANCEL"),
        request(method="ACK"),
        request(via="SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport"),
    ],
)
def test_what_belongs_to_one_transaction_has_one_branch(other: Request) -> None:
    assert branch(other) == branch(request())


@pytest.mark.parametrize(
    "other",
    [
        request(uri="sip:carol@example.net"),
        request(call_id="y"),
        request(cseq="2"),
        request(via="SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK2"),
        request(via="SIP/2.0/UDP 10.0.0.3;branch=z9hG4bK1"),
        request(via="SIP/2.0/UDP 10.0.0.2:5061;branch=z9hG4bK1"),
        request("Route: <sip:p@q;lr>"),
    ],
)
def test_what_does_not_has_another(other: Request) -> None:
    assert branch(other) != branch(request())


def test_without_a_branch_of_the_sender_the_whole_via_counts() -> None:
    old = request(via="SIP/2.0/UDP h")
    assert branch(old) == branch(request(via="SIP/2.0/UDP h"))
    assert branch(old) != branch(request(via="SIP/2.0/UDP g"))
    assert branch(old) != branch(request(via="SIP/2.0/UDP h", call_id="y"))


def test_it_depends_on_the_secret() -> None:
    assert branch_for(request(), Identifiers(1)) != branch_for(request(), Identifiers(2))


def test_a_route_that_changes_the_request_changes_no_branch() -> None:
    message = request()
    before = branch(message)
    message.uri = "sip:elsewhere@example.org"
    message.headers.add("Route", "<sip:p@q;lr>")
    assert branch(message) == before
