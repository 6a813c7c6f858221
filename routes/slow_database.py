"""A slow database behind REGISTER holds up REGISTERs and nothing else: a group of its own is the bulkhead.

Try: trio-sip serve routes/slow_database.py --listen udp:127.0.0.1:5060; sipsak -U -s sip:bob@127.0.0.1:5060
"""

import time

import trio

from trio_sip import Frame, Request, Router, WorkerGroup

router = Router(
    groups=[
        WorkerGroup("quick", workers=4),
        # 20 look-ups at a time; who has not been served after 2 s gets 503 with Retry-After.
        WorkerGroup("registrations", workers=20, queue=200, when_full="shed", deadline=2.0, max_age=1.0),
    ],
)


def look_up(user: str | None) -> bool:
    time.sleep(0.5)  # a driver that blocks, in truth
    return user is not None


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    frame.delegate("registrations" if frame.method == "REGISTER" else "quick")


@router.request_route("REGISTER")
async def register(request: Request) -> None:  # in a thread, so that the event loop goes on; given up at the deadline
    known = await trio.to_thread.run_sync(look_up, request.to.uri.user, abandon_on_cancel=True)
    request.reply(200 if known else 404)


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200)
