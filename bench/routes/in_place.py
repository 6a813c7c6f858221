"""Measured as `in-place`: nothing is delegated, so the receive task answers."""

from __future__ import annotations

from trio_sip import Frame, Request, Router

router = Router()


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    """Leave every frame to the receive task."""


@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
