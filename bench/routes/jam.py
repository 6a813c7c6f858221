"""Used by `overload.py`: REGISTER takes a second each, in a small group of its own; OPTIONS has another."""

from __future__ import annotations

import trio

from trio_sip import Frame, Request, Router, WorkerGroup

router = Router(
    groups=[
        WorkerGroup("default", workers=4),
        WorkerGroup("registrations", workers=2, queue=64, when_full="shed", max_age=60.0),
    ]
)


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    group = "registrations" if frame.method == "REGISTER" else "default"
    if frame.delegate(group):
        frame.drop()


@router.request_route("REGISTER")
async def register(request: Request) -> None:
    await trio.sleep(1.0)
    request.reply(200)


@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
