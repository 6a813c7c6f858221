"""trio-sip: a programmable SIP router on Trio.

A routes file makes a `Router` with worker groups and declares `pre_routing`, `request_route` and `reply_route`; `serve`
runs it, in a program of your own or under `trio-sip serve`. `trio_sip.testing` has a simulated network.
"""

from __future__ import annotations

from importlib.metadata import version

from trio_sip.address import Address
from trio_sip.errors import (
    ListenError,
    LocalProtocolError,
    RemoteProtocolError,
    RoutesError,
    SipError,
    TransportError,
)
from trio_sip.message.frame import Frame
from trio_sip.message.headers import Headers
from trio_sip.message.uri import Uri
from trio_sip.message.values import CSeq, NameAddr, Via
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response
from trio_sip.routing.router import Router
from trio_sip.server import Server, serve
from trio_sip.workers.settings import WorkerGroup

__version__ = version("trio-sip")

__all__ = [
    "Address",
    "CSeq",
    "Frame",
    "Headers",
    "ListenError",
    "LocalProtocolError",
    "NameAddr",
    "RemoteProtocolError",
    "Request",
    "Response",
    "Router",
    "RoutesError",
    "Server",
    "SipError",
    "TransportError",
    "Uri",
    "Via",
    "WorkerGroup",
    "__version__",
    "serve",
]
