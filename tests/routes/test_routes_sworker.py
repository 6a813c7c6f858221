"""routes/sworker.py does what its comments say."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trio_sip import Router
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

ROUTES = Path(__file__).parents[2] / "routes"


@pytest.fixture
def router() -> Router:
    loaded = runpy.run_path(str(ROUTES / "sworker.py"))["router"]
    assert isinstance(loaded, Router)
    return loaded


async def test_registers_have_a_group_of_their_own(
    autojump_clock: object, lab: Lab, router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    server = await lab.serve(router)
    alice, registrar = lab.peer(), lab.peer("10.0.0.3")
    alice.request("REGISTER", "sip:10.0.0.3")
    registrar.send(make_response(await registrar.agent.receive(), 200))
    assert (await alice.answer()).status == 200
    delegated = {name: group.delegated for name, group in server.statistics().groups.items()}
    assert delegated == {"registrations": 2, "default": 0}  # a response's method is what its CSeq names
    assert any(line.startswith("delegated [") and line.endswith("[10.0.0.2:5060]") for line in caplog.messages)


async def test_options_is_answered_here(autojump_clock: object, lab: Lab, router: Router) -> None:
    await lab.serve(router)
    answer = await lab.peer().ask("OPTIONS", "sip:10.0.0.3")
    assert answer.status == 200
    assert "INVITE" in answer.headers["Allow"]
    assert answer.headers["Accept"] == "application/sdp"


async def test_everything_else_goes_on_and_loses_its_server_header_on_the_way_back(
    autojump_clock: object, lab: Lab, router: Router
) -> None:
    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200, headers=[("Server", "bob's phone")]))
    answer = await alice.answer()
    assert answer.status == 200
    assert "Server" not in answer.headers


async def test_with_both_groups_gone_processing_continues_in_the_receive_task(
    autojump_clock: object, lab: Lab, router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    server = await lab.serve(router)
    for group in server.groups.values():
        group.close()
    assert (await lab.peer().ask("OPTIONS")).status == 200
    assert "processing continues here [10.0.0.2:5060]" in caplog.messages
