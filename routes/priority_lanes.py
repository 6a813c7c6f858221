"""Calls have a lane of their own; OPTIONS and REGISTER share a narrow one, and a flood of them cannot hold up a call.

Try: trio-sip serve routes/priority_lanes.py --listen udp:127.0.0.1:5060; sipsak -F -e 100000 -s sip:127.0.0.1:5060
"""

from trio_sip import Frame, Request, Router, WorkerGroup

BACKGROUND = {"OPTIONS", "REGISTER", "SUBSCRIBE", "PUBLISH"}

router = Router(
    groups=[
        WorkerGroup("calls", workers=8, queue=4096, when_full="shed"),
        # Past 32 waiting, or half a second of it, the sender is told to come back later (503 with Retry-After).
        WorkerGroup("background", workers=1, queue=32, max_age=0.5, when_full="shed"),
    ],
)


@router.pre_routing
def pre_routing(frame: Frame) -> None:  # a response belongs to the method its CSeq names
    frame.delegate("background" if frame.method in BACKGROUND else "calls")


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200, headers=[("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"), ("Accept", "application/sdp")])


@router.request_route
async def request_route(request: Request) -> None:
    await request.forward()
