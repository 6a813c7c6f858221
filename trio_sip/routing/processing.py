"""From a frame to a route: parse afresh, check, choose the route. The `Handler` workers and receive tasks are given."""

from __future__ import annotations

import logging

from trio_sip.errors import RemoteProtocolError
from trio_sip.message.frame import Frame
from trio_sip.message.parse import is_response, read_any_request, read_response
from trio_sip.message.salvage import salvage_request
from trio_sip.message.shapes import SENT_BY
from trio_sip.message.shapes import read_request as read_by_shape
from trio_sip.proxy.route_set import remove_own_routes
from trio_sip.proxy.validate import check_request
from trio_sip.routing.core import RETRY_AFTER, Core
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response
from trio_sip.routing.router import Router
from trio_sip.workers.handler import Job
from trio_sip.workers.slot import Slot

__all__ = ["Processing"]

logger = logging.getLogger("trio_sip.routing")

_MAX_STRANGERS = 4096

_OVERLOAD = RemoteProtocolError("overload", 503, (("Retry-After", str(RETRY_AFTER)),))


class Processing:
    """Opens frames for one router."""

    def __init__(self, router: Router, core: Core) -> None:
        self._core = core
        self._counted = core.counted
        self._is_ours = core.egress.is_ours
        # The sent-by of senders that are not us: a regular request of theirs cannot be in a loop, and needs no check.
        self._strangers: set[bytes] = set()
        self._own: set[bytes] = set()
        self._routes = router.routes
        self._reply_route = router.routes.reply
        self._allow = (("Allow", ", ".join(router.routes.requests)),)

    def open(self, frame: Frame, slot: Slot) -> Job | None:
        """See `Handler.open`."""
        data = frame._data
        if data[3:4] == b"/" and is_response(data):
            return self._open_response(frame, slot)
        request = Request(frame, slot, self._core)
        try:
            if not read_by_shape(request, data):
                read_any_request(request, data)
        except RemoteProtocolError as error:
            self._refuse_unparsed(frame, error)
            return None
        self._counted.requests += 1
        if not (request.regular and request.facts[SENT_BY] in self._strangers) and not self._check(request):
            return None
        method = request.method
        if method == "ACK" and request.to_tag == request.own_tag():
            self._counted.absorbed += 1
            return None
        route = self._routes.requests.get(method, self._routes.plain)
        if route is None:
            request.refuse(RemoteProtocolError(f"no route for {method}", 405, self._allow))
            return None
        request._route = route
        return request

    def _check(self, request: Request) -> bool:
        """Whether it may be routed (RFC 3261 16.3); its own Routes are taken off (16.4). If not, it is answered."""
        try:
            check_request(request, self._is_ours)
            remove_own_routes(request, self._is_ours)
        except RemoteProtocolError as error:
            self._counted.malformed += 1
            self._note(error.status, "%s from %s refused: %s", request.method, request.source, error)
            request.refuse(error)
            return False
        if request.regular and not self._is_ours(request.sent_by):
            if len(self._strangers) >= _MAX_STRANGERS:
                self._strangers.clear()
            self._strangers.add(request.facts[SENT_BY])
        return True

    def _open_response(self, frame: Frame, slot: Slot | None) -> Job | None:
        response = self._read_response(frame, slot)
        if response is None:
            return None
        if self._reply_route is None:
            response.finished()
            return None
        response._route = self._reply_route
        return response

    def _read_response(self, frame: Frame, slot: Slot | None) -> Response | None:
        response = Response(frame, slot, self._core)
        try:
            read_response(response, frame.data)
        except RemoteProtocolError as error:
            self._counted.malformed += 1
            self._note("malformed", "response from %s discarded: %s", frame.source, error)
            return None
        self._counted.responses += 1
        if response.facts[SENT_BY] not in self._own and not self._is_own(response):
            self._counted.stray += 1
            self._note(
                "stray", "response from %s discarded: its topmost Via %s is not ours", frame.source, response.sent_by
            )
            return None
        return response

    def _is_own(self, response: Response) -> bool:
        if not self._is_ours(response.sent_by):
            return False
        if len(self._own) >= _MAX_STRANGERS:
            self._own.clear()
        self._own.add(response.facts[SENT_BY])
        return True

    def _note(self, kind: object, text: str, *values: object) -> None:
        """One line a second for each kind: whoever sends garbage does not fill the log."""
        held_back = self._core.notes.check(kind)
        if held_back is not None:
            logger.info(text + (f" ({held_back} more like this)" if held_back else ""), *values)

    def shed(self, frame: Frame) -> None:
        """See `Handler.shed`."""
        if is_response(frame.data):
            self._pass_on(frame)
        else:
            self._answer_unparsed(frame, _OVERLOAD)

    def pre_routing_failed(self, frame: Frame, error: Exception) -> None:
        """See `Handler.pre_routing_failed`."""
        logger.error("pre-routing raised on %r, Call-ID %s", frame, frame.call_id, exc_info=error)
        if is_response(frame.data):
            self._pass_on(frame)
        else:
            self._answer_unparsed(frame, RemoteProtocolError("pre-routing failed", 500))

    def refuse_stream(self, frame: Frame, error: RemoteProtocolError) -> None:
        """Answer the head of a message whose length could not be made out."""
        if not is_response(frame.data):
            self._refuse_unparsed(frame, error)

    def _pass_on(self, frame: Frame) -> None:
        response = self._read_response(frame, None)
        if response is not None:
            response.finished()

    def _refuse_unparsed(self, frame: Frame, error: RemoteProtocolError) -> None:
        if self._answer_unparsed(frame, error):
            self._counted.malformed += 1
        else:
            self._counted.not_sip += 1
        self._note("unparsed", "from %s:%s: %s", frame.transport, frame.source, error)

    def _answer_unparsed(self, frame: Frame, error: RemoteProtocolError) -> bool:
        """Answer a request from its bytes alone, where they have what it takes."""
        request = Request(frame, None, self._core)
        if not salvage_request(request, frame.data):
            return False
        request.refuse(error)
        return True
