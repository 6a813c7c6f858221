"""Each source belongs to one of four groups with one worker, so what is kept about a source needs no lock.

Try: trio-sip serve routes/shard_by_source.py --listen udp:127.0.0.1:5060; sipsak -vv -s sip:127.0.0.1:5060
"""

from collections import Counter
from zlib import crc32

import trio

from trio_sip import Frame, Request, Router, WorkerGroup

SHARDS = 4
CREDIT = 100  # requests a source may send

router = Router(groups=[WorkerGroup(f"shard-{n}", workers=1, when_full="shed", deadline=2.0) for n in range(SHARDS)])
spent: Counter[str] = Counter()  # stands for a table in a database


async def look_up(source: str) -> int:
    found = spent[source]
    await trio.sleep(0.001)  # the way back
    return found


@router.pre_routing
def pre_routing(frame: Frame) -> None:  # crc32 and not hash(): that one differs from run to run
    frame.delegate(f"shard-{crc32(frame.source.host.encode()) % SHARDS}")


@router.request_route("MESSAGE", "OPTIONS")
async def answer(request: Request) -> None:
    source = request.source.host
    so_far = await look_up(source)
    if so_far >= CREDIT:
        request.reply(403, "No credit left")
        return
    spent[source] = so_far + 1  # nobody else has spent from this source meanwhile
    request.reply(200)
