"""Used by `plot_overload.py`: as `lookups_shared.py`, with as many workers and as long a queue, in two groups."""

from __future__ import annotations

import trio

from trio_sip import Frame, Request, Router, WorkerGroup

router = Router(
    groups=[
        WorkerGroup("default", workers=4, queue=64, when_full="shed"),
        WorkerGroup("registrations", workers=4, queue=64, when_full="shed"),
    ]
)
database = trio.CapacityLimiter(4)


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    frame.delegate("registrations" if frame.method == "REGISTER" else "default")


@router.request_route("REGISTER")
async def register(request: Request) -> None:
    async with database:
        await trio.sleep(0.020)
    request.reply(200)


@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
