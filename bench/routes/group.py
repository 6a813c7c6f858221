"""Measured as `group`: the raw frame goes to a worker group, and a worker answers."""

from __future__ import annotations

from trio_sip import Frame, Request, Router, WorkerGroup

router = Router(groups=[WorkerGroup("default", workers=4), WorkerGroup("registrations", workers=2)])


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    group = "registrations" if frame.method == "REGISTER" else "default"
    if frame.delegate(group):
        frame.drop()


@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
