"""Scanners and floods are dropped unseen: by User-Agent, and past 20 requests a second from one source.

Try: trio-sip serve routes/block_scanners.py --listen udp:127.0.0.1:5060; `sipsak -s sip:127.0.0.1:5060` is answered,
and with `-j "User-Agent: friendly-scanner"` it is not.
"""

import re
from collections import Counter

from trio_sip import Frame, Request, Router, WorkerGroup

SCANNER = re.compile("friendly-scanner|sipvicious|sipcli|sundayddr|VaxSIPUserAgent|pplsip", re.IGNORECASE)
RATE = 20  # requests a second
SOURCES = 10_000  # remembered within one second; past that the count starts anew

router = Router(groups=[WorkerGroup("default", when_full="shed")])
requests: Counter[str] = Counter()
second = 0


@router.pre_routing
def pre_routing(frame: Frame) -> None:
    if frame.is_request and (SCANNER.search(frame.header("User-Agent") or "") or is_flood(frame)):
        frame.drop()  # no answer: it would tell that somebody is here
    frame.delegate("default")


def is_flood(frame: Frame) -> bool:
    global second
    if int(frame.arrived) != second or len(requests) >= SOURCES:
        second = int(frame.arrived)
        requests.clear()
    requests[frame.source.host] += 1
    return requests[frame.source.host] > RATE


@router.request_route("OPTIONS")
async def options(request: Request) -> None:
    request.reply(200)
