"""routes/kamailio_sworker.py does what the documentation of Kamailio's module says its example does."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trio_sip import Router
from trio_sip.routing.load import load_router
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

FILE = Path(__file__).parents[2] / "routes" / "kamailio_sworker.py"
TIME = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"


@pytest.fixture
def router() -> Router:
    return load_router(str(FILE))


def test_it_is_short() -> None:
    assert len(FILE.read_text().splitlines()) < 40


async def test_the_worker_processes_what_is_delegated(
    autojump_clock: object, lab: Lab, router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    server = await lab.serve(router)
    answer = await lab.peer().ask("OPTIONS")
    assert (answer.status, answer.reason) == (200, "OK")
    delegated, worked = caplog.messages
    assert re.fullmatch(rf"===== delegate processing \[{TIME}\] \[10\.0\.0\.2:5060\]", delegated)
    assert worked == "===== in a worker, xdata 10.0.0.2"
    assert server.statistics().groups["default"].processed == 1


async def test_the_receive_task_goes_on_where_the_group_does_not_take_it(
    autojump_clock: object, lab: Lab, router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    server = await lab.serve(router)
    server.groups["default"].close()
    assert (await lab.peer().ask("REGISTER")).status == 200
    assert re.fullmatch(rf"===== processing continues \[{TIME}\] \[10\.0\.0\.2:5060\]", caplog.messages[-1])
    assert server.statistics().reception.in_place == 1


async def test_publish_is_dropped(autojump_clock: object, lab: Lab, router: Router) -> None:
    server = await lab.serve(router)
    alice = lab.peer()
    alice.request("PUBLISH")
    await alice.silence(32)
    assert server.statistics().groups["default"].dropped == 1


async def test_what_else_comes_goes_on_and_its_answer_comes_back(
    autojump_clock: object, lab: Lab, router: Router
) -> None:
    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200))
    assert (await alice.answer()).status == 200


async def test_what_cannot_go_on_is_answered(autojump_clock: object, lab: Lab, router: Router) -> None:
    await lab.serve(router)
    answer = await lab.peer().ask("INVITE", "sip:bob@nowhere.invalid")
    assert (answer.status, answer.reason) == (503, "Cannot forward")
    alice = lab.peer("10.0.0.4")
    alice.request("ACK", "sip:bob@nowhere.invalid")
    await alice.silence(5)
