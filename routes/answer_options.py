"""OPTIONS is answered at once, in the receive task, with what this server can do; every other method gets 405.

Try: trio-sip serve routes/answer_options.py --listen udp:127.0.0.1:5060; sipsak -vv -s sip:127.0.0.1:5060
"""

from trio_sip import Frame, Request, Router, WorkerGroup

CAPABILITIES = [  # RFC 3261 11.2
    ("Allow", "OPTIONS"),
    ("Accept", "application/sdp"),
    ("Accept-Encoding", "identity"),
    ("Accept-Language", "en"),
    ("Supported", ""),  # no extension (20.37)
]

router = Router(groups=[WorkerGroup("default", when_full="shed")])


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    if frame.method != "OPTIONS":  # OPTIONS goes on here: its route does not wait
        frame.delegate("default")


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200, headers=CAPABILITIES)
