"""Used by `overload.py`: four workers, a route of 5 ms: at most 800 messages a second; the rest is shed."""

from __future__ import annotations

import trio

from trio_sip import Request, Router, WorkerGroup

router = Router(groups=[WorkerGroup("default", workers=4, queue=64, when_full="shed")])


@router.request_route
async def request_route(request: Request) -> None:
    await trio.sleep(0.005)
    request.reply(200)
