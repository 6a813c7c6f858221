from __future__ import annotations

import pytest
from proxy_messages import is_ours, request

from trio_sip.errors import RemoteProtocolError
from trio_sip.message.uri import Uri
from trio_sip.proxy.route_set import next_hop, remove_own_routes, request_uri

OWN = "<sip:10.0.0.1;lr>"
OTHER = "<sip:p.example.net;lr>"
STRICT = "<sip:strict.example.net>"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([OTHER], [OTHER]),
        ([OWN], []),
        ([OWN, OTHER], [OTHER]),
        ([f"{OWN}, {OTHER}"], [OTHER]),
        ([f"{OWN},{OTHER} , {OTHER}"], [f"{OTHER}, {OTHER}"]),
        ([OTHER, OWN], [OTHER, OWN]),
        ([OWN, OWN, OTHER], [OTHER]),
        (["<sip:10.0.0.1;transport=tcp;lr>, <sip:10.0.0.1;lr>", OTHER], [OTHER]),
        ([OWN, OWN, OWN], [OWN]),
        (["<sip:proxy.example.com:5060;lr>;x=y"], []),
        (["<sip:10.0.0.1:5070;lr>"], ["<sip:10.0.0.1:5070;lr>"]),
        (["<sip:h;maddr=10.0.0.1;lr>"], []),
        (['"a, b" <sip:10.0.0.1;lr>,' + OTHER], [OTHER]),
        (["<tel:+123>"], ["<tel:+123>"]),
        ([""], [""]),
        (["", OWN, OTHER], ["", OTHER]),
    ],
)
def test_own_routes_are_taken_off(before: list[str], after: list[str]) -> None:
    message = request(*[f"Route: {value}" for value in before])
    remove_own_routes(message, is_ours)
    assert message.headers.get_all("Route") == after
    assert message.uri_text == "sip:bob@example.net"


@pytest.mark.parametrize(
    ("uri", "routes", "restored", "left"),
    [
        ("sip:10.0.0.1;lr", ["<sip:bob@h>"], "sip:bob@h", []),
        ("sip:10.0.0.1;lr", [OTHER, "<sip:bob@h>"], "sip:bob@h", [OTHER]),
        ("sip:10.0.0.1;lr", [f"{OTHER}, <sip:bob@h>;x=y"], "sip:bob@h", [OTHER]),
        ("sip:10.0.0.1;lr", [f"{OWN}, {OTHER}, <sip:bob@h>"], "sip:bob@h", [OTHER]),
        ("sip:10.0.0.1", ["<sip:bob@h>"], "sip:10.0.0.1", ["<sip:bob@h>"]),
        ("sip:10.0.0.9;lr", ["<sip:bob@h>"], "sip:10.0.0.9;lr", ["<sip:bob@h>"]),
        ("sip:10.0.0.1;lr", [], "sip:10.0.0.1;lr", []),
        ("sip:10.0.0.1;lr", [""], "sip:10.0.0.1;lr", [""]),
    ],
)
def test_strict_routing_is_undone(uri: str, routes: list[str], restored: str, left: list[str]) -> None:
    message = request(*[f"Route: {value}" for value in routes], uri=uri)
    remove_own_routes(message, is_ours)
    assert (message.uri_text, message.headers.get_all("Route")) == (restored, left)


@pytest.mark.parametrize("route", ["<<<", "<sip:", "x", '"a <sip:b>', f"{OWN},"])
def test_a_malformed_route_is_the_peers_mistake(route: str) -> None:
    for uri in ("sip:bob@example.net", "sip:10.0.0.1;lr"):
        with pytest.raises(RemoteProtocolError):
            remove_own_routes(request(f"Route: {route}", uri=uri), is_ours)


def test_a_route_that_cannot_be_written_again_is_the_peers_mistake() -> None:
    with pytest.raises(RemoteProtocolError):
        remove_own_routes(request(f'Route: {OWN}, "\\\0" <sip:x;lr>'), is_ours)


@pytest.mark.parametrize(
    ("routes", "hop", "uri", "left"),
    [
        ([], "sip:bob@example.net", "sip:bob@example.net", []),
        ([""], "sip:bob@example.net", "sip:bob@example.net", [""]),
        ([OTHER], "sip:p.example.net;lr", "sip:bob@example.net", [OTHER]),
        ([f"{OTHER}, {STRICT}"], "sip:p.example.net;lr", "sip:bob@example.net", [f"{OTHER}, {STRICT}"]),
        ([STRICT], "sip:strict.example.net", "sip:strict.example.net", ["<sip:bob@example.net>"]),
        (
            [STRICT, OTHER],
            "sip:strict.example.net",
            "sip:strict.example.net",
            [OTHER, "<sip:bob@example.net>"],
        ),
        (
            [f"{STRICT}, {OTHER}"],
            "sip:strict.example.net",
            "sip:strict.example.net",
            [OTHER, "<sip:bob@example.net>"],
        ),
    ],
)
def test_the_next_hop(routes: list[str], hop: str, uri: str, left: list[str]) -> None:
    message = request(*[f"Route: {value}" for value in routes])
    assert str(next_hop(message)) == hop
    assert (message.uri_text, message.headers.get_all("Route")) == (uri, left)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:a@b;lr", "sip:a@b;lr"),
        ("sip:a@b;method=INVITE;x=y?Subject=z", "sip:a@b;x=y"),
        ("sip:a@b;m%65thod=INVITE", "sip:a@b"),
        ("tel:+1", "tel:+1"),
    ],
)
def test_a_request_uri_has_no_headers(text: str, uri: str) -> None:
    assert str(request_uri(Uri.parse(text))) == uri
