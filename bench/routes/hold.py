"""Used by `memory.py`: the one worker sleeps on the first message, and all that follow wait in the queue."""

from __future__ import annotations

import trio

from trio_sip import Request, Router, WorkerGroup

router = Router(groups=[WorkerGroup("default", workers=1, queue=50_000, max_age=600.0)])


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200)


@router.request_route
async def request_route(request: Request) -> None:
    await trio.sleep(600.0)
    request.reply(200)
