"""Used by `plot_overload.py`: OPTIONS and REGISTERs with a slow look-up share one group of eight workers.

The database takes four questions at a time, 20 ms each: 200 REGISTERs a second at most.
"""

from __future__ import annotations

import trio

from trio_sip import Request, Router, WorkerGroup

router = Router(groups=[WorkerGroup("default", workers=8, queue=128, when_full="shed")])
database = trio.CapacityLimiter(4)


@router.request_route("REGISTER")
async def register(request: Request) -> None:
    async with database:
        await trio.sleep(0.020)
    request.reply(200)


@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
