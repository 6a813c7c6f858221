"""Calls are spread over three gateways by their Call-ID, without state: all messages of a call go to the same one.

Try: trio-sip serve routes/load_sharing.py --listen udp:127.0.0.1:5060; `sipp -sn uas -i 127.0.0.1 -p 5071`, another
with 5072 and with 5073, and `sipp -sn uac -i 127.0.0.1 127.0.0.1:5060`.
"""

from zlib import crc32

from trio_sip import Request, Router

GATEWAYS = ("127.0.0.1:5071", "127.0.0.1:5072", "127.0.0.1:5073")

router = Router()


def gateway_of(call_id: str) -> str:
    return GATEWAYS[crc32(call_id.encode("utf-8", "surrogateescape")) % len(GATEWAYS)]


@router.request_route
async def request_route(request: Request) -> None:  # ACK, BYE and CANCEL bring the Call-ID of their INVITE
    user = "" if request.uri.user is None else f"{request.uri.user}@"
    await request.forward(f"sip:{user}{gateway_of(request.call_id)}")
