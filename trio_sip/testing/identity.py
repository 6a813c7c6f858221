"""Who a scripted user agent is: its URIs, its requests, and identifiers that are counted.

So they are the same at every run, and a person can read them.
"""

from __future__ import annotations

from itertools import count
from typing import TypedDict, Unpack
from urllib.parse import quote

from trio_sip.address import DEFAULT_PORT, Address
from trio_sip.message.grammar import write_host
from trio_sip.testing.messages import Headers, make_request, unless_given

__all__ = ["Identity", "RequestFields"]


class RequestFields(TypedDict, total=False):
    """What a test can say of a request."""

    call_id: str | None
    branch: str | None
    cseq: int | None
    from_tag: str | None
    to_tag: str | None
    headers: Headers
    body: bytes


class Identity:
    """`uri` is the address of record, `contact` where requests in a dialog are sent to."""

    def __init__(self, name: str, address: Address, transport: str) -> None:
        user = quote(name, safe="")
        self._address, self._transport = address, transport
        self._host = write_host(address.host)
        self.uri = f"sip:{user}@{self._host}"
        self.contact = f"sip:{user}@{address}" + ("" if transport == "udp" else f";transport={transport}")
        # Agents of one name and host differ in port or transport.
        usual = transport == "udp" and address.port == DEFAULT_PORT
        self._prefix = user if usual else f"{user}-{transport}-{address.port}"
        self._calls, self._branches, self._tagged = count(1), count(1), count(1)
        self._tags: dict[tuple[str, str], str] = {}
        self._cseqs: dict[str, int] = {}

    def new_call_id(self) -> str:
        """One that nobody else has."""
        return f"{self._prefix}-{next(self._calls)}@{self._host}"

    def make_request(self, method: str, uri: str, **fields: Unpack[RequestFields]) -> bytes:
        """A request; what is not said is new, or as it was before with this Call-ID."""
        call_id = fields.get("call_id") or self.new_call_id()
        cseq, last = fields.get("cseq"), self._cseqs.get(call_id, 0)
        cseq = last + 1 if cseq is None else cseq
        self._cseqs[call_id] = max(cseq, last)  # an ACK repeats an earlier one
        from_tag = fields.get("from_tag") or self.tag(call_id, "From")
        ours = [("From", f"<{self.uri}>;tag={from_tag}"), ("Contact", f"<{self.contact}>")]
        return make_request(
            method,
            uri,
            source=self._address,
            call_id=call_id,
            branch=fields.get("branch") or f"z9hG4bK-{self._prefix}-{next(self._branches)}",
            cseq=cseq,
            to_tag=fields.get("to_tag"),
            headers=unless_given(ours, fields.get("headers", ())),
            body=fields.get("body", b""),
            transport=self._transport.upper(),
        )

    def tag(self, call_id: str, header: str) -> str:
        """The tag this agent has in From or in To: one for each Call-ID."""
        if (call_id, header) not in self._tags:
            self._tags[call_id, header] = f"{self._prefix}-{next(self._tagged)}"
        return self._tags[call_id, header]
