"""What is known of Kamailio's sworker module, in twelve points (documentation, source and history of the module), and
what ours does: the same ("as Kamailio"), or something else ("better"), and why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Frame, Request, Response, Router, RoutesError, WorkerGroup
from trio_sip.kamailio import drop, forward, pv_get, pv_set, sl_send_reply, sworker_active, sworker_task, xinfo
from trio_sip.routing.load import load_router
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]


def delegating(*groups: WorkerGroup, name: str = "default", then_drop: bool = True) -> Router:
    router = Router(groups=groups or [WorkerGroup("default")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if sworker_task(name) and then_drop:
            drop()

    return router


async def test_1_the_bytes_and_where_they_came_from_are_delegated_without_a_transaction(
    autojump_clock: object, lab: Lab
) -> None:
    """As Kamailio. The group gets the frame itself: the same bytes, the same flow back to the sender."""
    router = delegating()
    seen: list[Request] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(request)
        sl_send_reply(200)

    await lab.serve(router)
    for transport in ("udp", "tcp"):
        alice = lab.peer("10.0.0.2", transport)
        sent = alice.request("OPTIONS", body=b"odd  bytes\x00", headers=[("Content-Type", "a/b"), ("x-CaSe", "  y ")])
        assert (await alice.answer()).status == 200  # over the same connection, for TCP
        assert seen[-1].frame.data == sent
        assert (seen[-1].transport, str(seen[-1].local)) == (transport, "10.0.0.1:5060")
    assert (str(seen[0].source), seen[1].source.host) == ("10.0.0.2:5060", "10.0.0.2")
    sent = alice.request("OPTIONS", call_id="again")
    alice.send(sent)  # no transaction knows it as a retransmission
    assert await alice.statuses() == [200, 200]
    assert len(seen) == 4


async def test_2_it_is_for_pre_routing_alone(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    """As Kamailio: elsewhere it warns and is false. (There are no faked messages here.)"""
    router = delegating()
    returned: list[bool] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        returned.append(sworker_task("default"))
        sl_send_reply(200)

    server = await lab.serve(router)
    await lab.peer().ask()
    assert returned == [False]
    assert len(warned()) == 1
    assert server.statistics().groups["default"].delegated == 1


@pytest.mark.parametrize("then_drop", [True, False])
async def test_3_what_is_delegated_is_processed_once(autojump_clock: object, lab: Lab, then_drop: bool) -> None:
    """Better: in Kamailio a script that forgets `drop` has the message processed twice, by receiver and worker."""
    router = delegating(then_drop=then_drop)
    seen: list[bool] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(sworker_active())
        sl_send_reply(200)

    await lab.serve(router)
    alice = lab.peer()
    alice.request()
    assert await alice.statuses() == [200]
    assert seen == [True]


@pytest.mark.parametrize("why", ["unknown", "full", "closed"])
async def test_3_what_is_refused_goes_on_in_the_receive_task(
    autojump_clock: object, lab: Lab, warned: Logged, why: str
) -> None:
    """As Kamailio for a group that fails; better for one that is not there, to which Kamailio loses the message."""
    router = delegating(WorkerGroup("default", workers=1, queue=1), name="none" if why == "unknown" else "default")

    @router.request_route
    async def request_route(request: Request) -> None:
        if sworker_active():
            await trio.sleep(1)
        sl_send_reply(200, "in a worker" if sworker_active() else "in place")

    server = await lab.serve(router)
    alice = lab.peer()
    if why == "full":
        for number in range(2):  # one is worked on, one waits
            alice.request(call_id=f"before-{number}")
            await trio.sleep(0.05)
    elif why == "closed":
        server.groups["default"].close()
    assert (await alice.ask(call_id="refused")).reason == "in place"
    assert "processing continues in the receive task" in warned()[0]


async def test_4_a_worker_parses_anew_and_runs_no_pre_routing(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio: nothing is delegated endlessly, and request_route and reply_route run as for a fresh message."""
    router = Router(groups=[WorkerGroup("default")])
    ran: list[str] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        ran.append("pre_routing")
        sworker_task("default")

    @router.request_route
    async def request_route(request: Request) -> None:
        ran.append("request_route")
        await forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        ran.append("reply_route")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200))
    await alice.answer()
    assert ran == ["pre_routing", "request_route", "pre_routing", "reply_route"]


async def test_5_what_pre_routing_has_set_is_lost_but_for_xdata(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio, where the parameter `xdata` of the module names the variable; here it is always $var(xdata).

    Better: `xdata` is any value, not one string, and a variable never is what another message left in it.
    """
    router = Router(groups=[WorkerGroup("default", workers=1)])
    seen: list[object] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        pv_set("$var(other)", "lost")
        if frame.call_id == "by-variable":
            pv_set("$var(xdata)", "text")
        sworker_task("default", xdata={"any": "value"} if frame.call_id == "by-argument" else None)

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append((pv_get("$var(other)"), pv_get("$var(xdata)"), request.xdata))
        sl_send_reply(200)

    await lab.serve(router)
    alice = lab.peer()
    for call_id in ("by-variable", "by-argument", "none"):
        await alice.ask(call_id=call_id)
    assert seen == [(None, "text", "text"), (None, "{'any': 'value'}", {"any": "value"}), (None, None, None)]


async def test_6_sworker_active_tells_a_worker_from_the_receive_task(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio."""
    router = Router(groups=[WorkerGroup("default")])
    seen: list[bool] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        seen.append(sworker_active())
        if frame.method == "INFO":
            sworker_task("default")

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(sworker_active())
        await trio.sleep(0.01)
        seen.append(sworker_active())
        sl_send_reply(200)

    await lab.serve(router)
    alice = lab.peer()
    await alice.ask("OPTIONS")
    await alice.ask("INFO")
    assert seen == [False, False, False, False, True, True]


async def test_7_what_is_too_large_is_answered(autojump_clock: object, lab: Lab) -> None:
    """Better: in Kamailio the worker drops what is longer than its buffer of 64 KiB, after it was accepted.

    Here it is answered 413 where it is received, and whatever is accepted fits a worker.
    """
    router = delegating()

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200, "$ml")

    server = await lab.serve(router)
    alice = lab.peer(transport="tcp")
    headers = [("Content-Type", "text/plain")]
    sent = alice.request("MESSAGE", body=b"x" * 65_000, headers=headers)
    assert (await alice.answer()).reason == str(len(sent))
    alice.request("MESSAGE", body=b"x" * 65_536, headers=headers)
    assert (await alice.answer()).status == 413
    assert server.statistics().groups["default"].delegated == 1


async def test_8_requests_and_replies_are_delegated(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio: pre-routing runs for both."""
    router = delegating()
    replies: list[bool] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        await forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        replies.append(sworker_active())

    server = await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    invite = await bob.agent.receive()
    for status in (180, 200):
        bob.send(make_response(invite, status))
    assert await alice.statuses() == [180, 200]
    assert replies == [True, True]
    assert server.statistics().groups["default"].delegated == 3


async def test_9_a_group_name_holds_pseudo_variables(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio: messages are spread by what stands in them."""
    router = delegating(WorkerGroup("trunk-10.0.0.2"), WorkerGroup("trunk-10.0.0.3"), name="trunk-$si")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200, request.group)

    await lab.serve(router)
    for host in ("10.0.0.2", "10.0.0.3"):
        assert (await lab.peer(host).ask()).reason == f"trunk-{host}"


async def test_9_messages_of_one_call_stay_in_order(autojump_clock: object, lab: Lab) -> None:
    """Better: Kamailio keeps no order in a group of several workers, and a 200 may overtake its 180."""
    router = delegating(WorkerGroup("default", workers=4))

    @router.request_route
    async def request_route(request: Request) -> None:
        await trio.sleep(0.1 / request.cseq.number)  # the later, the quicker
        sl_send_reply(200)

    await lab.serve(router)
    alice = lab.peer()
    for cseq in range(1, 6):
        alice.request(call_id="one-call", cseq=cseq)
    assert [answer.cseq.number for answer in await alice.answers()] == [1, 2, 3, 4, 5]


async def test_10_worker_groups_have_a_name_and_workers(autojump_clock: object, lab: Lab) -> None:
    """As Kamailio's async_workers_group. Better: the queue has a bound, and the group can be resized while it runs.

    There is no `nonblock` or `usleep`: a worker that finds the queue empty costs nothing here.
    """
    router = delegating(WorkerGroup("reg", workers=4, queue=3), name="reg")

    @router.request_route
    async def request_route(request: Request) -> None:
        if sworker_active():
            await trio.sleep(1)
        sl_send_reply(200, "worker" if sworker_active() else "in place")

    server = await lab.serve(router)
    server.groups["reg"].resize(2)
    alice = lab.peer()
    for number in range(6):
        alice.request(call_id=f"call-{number}")
    await trio.sleep(0.1)
    assert server.statistics().groups["reg"].workers == 2
    assert sorted(answer.reason for answer in await alice.answers(3.0)) == ["in place"] * 3 + ["worker"] * 3


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_11_without_a_script_everything_is_delegated(autojump_clock: object, lab: Lab, transport: str) -> None:
    """As Kamailio with udp_receiver_mode=1, whose group is called udp; here it is `default`. Better: TCP as well."""
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200, f"{request.group} {sworker_active()}")

    await lab.serve(router)
    assert (await lab.peer(transport=transport).ask()).reason == "default True"


def test_12_the_word_is_sworker_task_and_another_is_an_error_when_the_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better: Kamailio's documentation called it swork_task for years; here every word written is looked up at once."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    routes = tmp_path / "routes.py"
    routes.write_text("from trio_sip import Router\nfrom trio_sip.kamailio import swork_task\n")
    with pytest.raises(RoutesError, match=r"routes\.py:2: ImportError: cannot import name 'swork_task'"):
        load_router(str(routes))


async def test_the_readme_example(autojump_clock: object, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """`routes/kamailio_sworker.py` is it, line by line; this is its pre-routing alone, with the group gone."""
    caplog.set_level("INFO", "trio_sip.routes")
    router = Router(groups=[WorkerGroup("default")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if sworker_task("none"):
            drop()
        xinfo("===== processing continues [$si:$sp]\n")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200)

    await lab.serve(router)
    await lab.peer().ask()
    assert caplog.messages[-1] == "===== processing continues [10.0.0.2:5060]"
