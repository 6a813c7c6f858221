"""The examples in routes/ do what their first line says."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import trio
from typer.testing import CliRunner

from trio_sip.cli.app import app
from trio_sip.message.parse import parse
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

ROUTES = Path(__file__).parents[2] / "routes"
NAMES = sorted(path.stem for path in ROUTES.glob("*.py"))
HOP = 0.010
"""Seconds a message takes in the lab, one way."""


def load(name: str) -> ModuleType:
    """A fresh copy of the example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROUTES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_in_the_list_and_has_a_test() -> None:
    listed = re.findall(r"^\| \[(\w+)\.py\]\((\w+)\.py\) \|", (ROUTES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [(name, name) for name in NAMES]
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_routes_*.py"))
    assert [name for name in NAMES if f'"{name}"' not in tested and f'"{name}.py"' not in tested] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_says_what_it_does_and_can_be_served(name: str) -> None:
    path = ROUTES / f"{name}.py"
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith(".")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", [name for name in NAMES if "sworker" not in name])
def test_an_example_says_how_to_try_it(name: str) -> None:
    text = (ROUTES / f"{name}.py").read_text()
    assert f"Try: trio-sip serve routes/{name}.py --listen udp:127.0.0.1:5060" in text
    assert re.search(r"\bsipsak -|\bsipp -", text)


async def test_priority_lanes(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(load("priority_lanes").router)
    probes, caller, desk = lab.peer(), lab.peer("10.0.0.3"), lab.peer("10.0.0.4")
    for n in range(500):
        probes.request("OPTIONS", call_id=f"probe-{n}")
        if n % 25 == 0:
            caller.request("INVITE", "sip:desk@10.0.0.4", call_id=f"call-{n}")
    began = trio.current_time()
    for _ in range(20):
        request = await desk.asked()
        assert request.method == "INVITE"
    assert trio.current_time() - began == pytest.approx(2 * HOP)
    statuses = Counter(await probes.statuses())
    assert statuses.keys() == {200, 503}
    assert statuses[503] > 100
    groups = server.statistics().groups
    assert (groups["calls"].delegated, groups["calls"].shed) == (20, 0)
    assert groups["background"].shed == statuses[503]


async def test_priority_lanes_a_response_belongs_to_its_request(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(load("priority_lanes").router)
    caller, desk = lab.peer("10.0.0.3"), lab.peer("10.0.0.4")
    for method in ("REGISTER", "INVITE"):
        caller.request(method, "sip:desk@10.0.0.4")
        desk.send(make_response(await desk.agent.receive(), 200))
        assert (await caller.answer()).status == 200
    assert {name: group.delegated for name, group in server.statistics().groups.items()} == {
        "calls": 2,
        "background": 2,
    }


async def test_shard_by_source(autojump_clock: object, lab: Lab) -> None:
    example = load("shard_by_source")
    server = await lab.serve(example.router)
    peers = [lab.peer(f"10.0.0.{n}") for n in range(2, 10)]
    for peer in peers:
        for n in range(30):  # different calls: only the shard keeps them apart
            peer.request("MESSAGE", call_id=f"{n}@{peer.address.host}")
    for peer in peers:
        assert await peer.statuses() == [200] * 30
    assert example.spent == {peer.address.host: 30 for peer in peers}  # no update is lost
    delegated = [group.delegated for group in server.statistics().groups.values()]
    assert sum(delegated) == 240
    assert all(count % 30 == 0 for count in delegated)  # whole sources
    assert sum(count > 0 for count in delegated) > 1


async def test_shard_by_source_ends_with_the_credit(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(load("shard_by_source").router)
    peer = lab.peer()
    for n in range(103):
        peer.request("MESSAGE", call_id=f"call-{n}")
    assert Counter(await peer.statuses()) == {200: 100, 403: 3}


@pytest.fixture
def slow_database(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example with a database that takes a second of virtual time; a thread would take a real one."""
    example = load("slow_database")

    async def in_a_thread(function: Callable[..., object], user: str, *, abandon_on_cancel: bool) -> object:
        assert function is example.look_up
        assert abandon_on_cancel
        await trio.sleep(1)
        return user == "bob"

    monkeypatch.setattr(example.trio.to_thread, "run_sync", in_a_thread)
    return example


async def test_slow_database(autojump_clock: object, lab: Lab, slow_database: ModuleType) -> None:
    server = await lab.serve(slow_database.router)
    phones, prober = lab.peer(), lab.peer("10.0.0.3")
    for n in range(300):
        phones.request("REGISTER", call_id=f"phone-{n}", headers=[("To", "<sip:bob@10.0.0.1>")])
    for _ in range(10):
        before = trio.current_time()
        assert (await prober.ask("OPTIONS")).status == 200
        assert trio.current_time() - before == pytest.approx(2 * HOP)
    statuses = Counter(await phones.statuses(2))
    assert statuses == {200: 20, 503: 280}  # as many as it can bear; the others are told to come back
    assert server.statistics().groups["quick"].delegated == 10


async def test_slow_database_says_who_is_known(autojump_clock: object, lab: Lab, slow_database: ModuleType) -> None:
    await lab.serve(slow_database.router)
    for user, status in (("bob", 200), ("eve", 404)):
        answer = await lab.peer(f"10.0.0.{status % 250}").ask("REGISTER", headers=[("To", f"<sip:{user}@10.0.0.1>")])
        assert answer.status == status


async def test_load_sharing(autojump_clock: object, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    example = load("load_sharing")
    hosts = ("10.0.1.1", "10.0.1.2", "10.0.1.3")
    monkeypatch.setattr(example, "GATEWAYS", tuple(f"{host}:5060" for host in hosts))
    await lab.serve(example.router)
    gateways = [lab.peer(host) for host in hosts]
    caller = lab.peer()
    for n in range(60):
        for cseq, method in enumerate(("INVITE", "ACK", "BYE"), start=1):
            caller.request(method, "sip:bob@10.0.0.1", call_id=f"call-{n}", cseq=cseq)
    await trio.sleep(1)
    calls = [Counter(parse(data).call_id for data in iter(gateway.agent.receive_nowait, None)) for gateway in gateways]
    assert sum(map(len, calls)) == 60  # no call is seen by two
    assert all(set(each.values()) == {3} for each in calls)
    assert all(len(each) > 10 for each in calls)


async def test_load_sharing_answers_find_their_way_back(
    autojump_clock: object, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load("load_sharing")
    monkeypatch.setattr(example, "GATEWAYS", ("10.0.1.1:5060",))
    await lab.serve(example.router)
    caller, gateway = lab.peer(), lab.peer("10.0.1.1")
    caller.request("INVITE", "sip:+15551234@10.0.0.1")
    request = parse(data := await gateway.agent.receive())
    assert str(getattr(request, "uri", None)) == "sip:+15551234@10.0.1.1:5060"
    gateway.send(make_response(data, 200))
    assert (await caller.answer()).status == 200


async def test_answer_options(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(load("answer_options").router)
    peer = lab.peer()
    answer = await peer.ask("OPTIONS")
    assert answer.status == 200
    assert {name: answer.headers[name] for name in ("Allow", "Accept", "Supported")} == {
        "Allow": "OPTIONS",
        "Accept": "application/sdp",
        "Supported": "",
    }
    refused = await peer.ask("INVITE")
    assert (refused.status, refused.headers["Allow"]) == (405, "OPTIONS")
    assert server.statistics().reception.in_place == 1


async def test_block_scanners(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(load("block_scanners").router)
    scanner, peer = lab.peer(), lab.peer("10.0.0.3")
    for agent in ("friendly-scanner", "SIPVicious 0.3", "sipcli/v1.8"):
        scanner.request("OPTIONS", headers=[("User-Agent", agent)])
    await scanner.silence()
    assert (await peer.ask("OPTIONS", headers=[("User-Agent", "a phone")])).status == 200
    assert server.statistics().reception.dropped == 3


async def test_block_scanners_past_the_rate(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(load("block_scanners").router)
    flood, peer = lab.peer(), lab.peer("10.0.0.3")
    for n in range(100):
        flood.request("OPTIONS", call_id=f"flood-{n}")
    assert await flood.statuses(0.5) == [200] * 20
    assert (await peer.ask("OPTIONS")).status == 200  # another source has its own count
    await trio.sleep(1)
    assert (await flood.ask("OPTIONS")).status == 200  # and a second later it begins anew
