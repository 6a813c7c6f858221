"""Two servers' answers to the same messages, header by header, without what must differ.

What must differ is a matter of names: an address is written as its party's name, a tag or branch the server has made as
TAG1, TAG2, BRANCH1 in order of appearance, so that two that are the same stay the same. Parameters of a Via may come in
any order, folded lines are joined, compact names are long. The phrase of a 400 is for people (RFC 3261 7.2), and the
`rport` of a server's own Via has a test of its own; both are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain

import attrs
from interop.side_by_side_messages import HOST, Parties

from trio_sip.message.headers import COMPACT_FORMS
from trio_sip.message.values import split_commas

__all__ = ["Comparable", "comparable", "differences"]

_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_OWN_BRANCH = re.compile(r"(?<=SERVER;branch=)z9hG4bK[^;,\s]+(?:;rport)?")
_TAG = re.compile(r"(?<=;tag=)[^;,\s]+")
_TAGS_OF_PARTIES = ("from-alice", "to-bob", "in-dialog", "x")


@attrs.frozen
class Comparable:
    """One message, as it is compared."""

    label: str
    """Who got what: `client 200`, `hop INVITE`."""
    start: str
    headers: dict[str, tuple[str, ...]]
    """Values by name, in order."""
    order: str
    body: str


class Names:
    """What stands for addresses, and for what the server has made up, within one case."""

    def __init__(self, parties: Parties) -> None:
        self._ports = attrs.asdict(parties)
        self._made: dict[str, str] = {}

    def put_into(self, text: str) -> str:
        for name, port in self._ports.items():
            text = text.replace(f"{HOST}:{port}", name.upper()).replace(str(port), f"{name.upper()}-PORT")
        text = _OWN_BRANCH.sub(lambda match: self._name("BRANCH", match[0]), text)
        return _TAG.sub(lambda match: match[0] if match[0] in _TAGS_OF_PARTIES else self._name("TAG", match[0]), text)

    def _name(self, kind: str, value: str) -> str:
        same_kind = [name for name in self._made.values() if name.startswith(kind)]
        return self._made.setdefault(value, f"{kind}{len(same_kind) + 1}")


def comparable(party: str, data: bytes, names: Names) -> Comparable:
    """The message without what must differ."""
    head, _, body = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
    start, *lines = _FOLD.sub(" ", head.lstrip("\r\n")).split("\r\n")
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        key = COMPACT_FORMS.get(key, key)
        shown = names.put_into(value.strip())
        headers[key] = (*headers.get(key, ()), *(_vias(shown) if key == "via" else [shown]))
    first, second = start.split(" ")[:2]
    if second == "400":
        start = f"{first} 400"
    label = f"{party} {second if first.upper() == 'SIP/2.0' else first}"
    return Comparable(label, names.put_into(start), headers, ", ".join(headers), body.replace("\r\n", "\n"))


def _vias(value: str) -> list[str]:
    """Each via-parm with its parameters sorted."""
    parts = [[part.strip() for part in via.split(";")] for via in split_commas(value)]
    return [";".join([first, *sorted(parameters)]) for first, *parameters in parts]


def differences(theirs: list[Comparable], ours: list[Comparable]) -> dict[str, tuple[str, str]]:
    """What is not the same: (theirs, ours) by what it is."""
    labels = [", ".join(message.label for message in messages) or "nothing" for messages in (theirs, ours)]
    if labels[0] != labels[1]:
        return {"messages": (_shown(theirs), _shown(ours))}
    found = chain.from_iterable(_between(*pair) for pair in zip(theirs, ours, strict=True))
    times: Counter[str] = Counter()
    named: dict[str, tuple[str, str]] = {}
    for what, pair in found:
        times[what] += 1
        named[what if times[what] == 1 else f"{what} ({times[what]})"] = pair
    return named


def _shown(messages: list[Comparable]) -> str:
    return ", ".join(f"{each.label.split()[0]}: {each.start}" for each in messages) or "nothing"


def _between(theirs: Comparable, ours: Comparable) -> list[tuple[str, tuple[str, str]]]:
    pairs = {
        "start line": (theirs.start, ours.start),
        "order of headers": (theirs.order, ours.order),
        "body": (theirs.body, ours.body),
    }
    if set(theirs.headers) != set(ours.headers):
        del pairs["order of headers"]
    for name in {**theirs.headers, **ours.headers}:
        pairs[name] = (_joined(theirs, name), _joined(ours, name))
    return [(f"{ours.label}: {what}", pair) for what, pair in pairs.items() if pair[0] != pair[1]]


def _joined(message: Comparable, name: str) -> str:
    values = message.headers.get(name)
    return "none" if values is None else " | ".join(values)
