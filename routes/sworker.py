"""Kamailio's sworker example: REGISTERs in a worker group of their own.

The receive task looks at each frame and delegates it, as raw bytes, to a worker group; the worker processes it as if it
had just been received. OPTIONS is answered here, everything else goes on to where it is addressed.
"""

from trio_sip import Frame, Request, Response, Router, WorkerGroup

router = Router(
    groups=[
        WorkerGroup("default", workers=4),
        WorkerGroup("registrations", workers=2, queue=512, deadline=2.0),
    ],
)


@router.pre_routing
def pre_routing(frame: Frame) -> None:  # synchronous: it runs in the receive task and cannot block it
    group = "registrations" if frame.method == "REGISTER" else "default"
    if frame.delegate(group):  # the raw frame is on the group's channel
        frame.log("delegated [$Tf] [$si:$sp]")
        frame.drop()  # nothing more of it happens here
    frame.log("processing continues here [$si:$sp]")  # group unknown, full or closed: nothing is lost


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200, headers=[("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"), ("Accept", "application/sdp")])


@router.request_route
async def request_route(request: Request) -> None:
    await request.forward()


@router.reply_route
async def reply_route(response: Response) -> None:  # responses go on by themselves unless dropped
    response.headers.remove("Server")
