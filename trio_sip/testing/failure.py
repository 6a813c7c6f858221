"""What a scripted user agent says when it did not get what it waited for: a few lines, the important one first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from trio_sip.message import model
from trio_sip.testing.mailbox import Received, first_line

if TYPE_CHECKING:
    from trio_sip.testing.user_agent import UserAgent

__all__ = ["UnexpectedMessage", "report", "shown"]

_LISTED = 5
_HINTS = ("Reason", "Warning", "Retry-After", "Unsupported")
_HINT_LENGTH = 160


class UnexpectedMessage(AssertionError):  # noqa: N818
    """A user agent got another message than it waited for."""


def report(
    headline: str,
    agent: UserAgent,
    culprit: Received | None = None,
    passed: Sequence[Received] = (),
    caller: UserAgent | None = None,
) -> str:
    """The text of a failure: what `agent` has seen and done, and what the `caller` has, if that is somebody else."""
    told = (culprit, *passed)
    lines = [*(_hints(culprit) if culprit is not None else ()), *_list(agent, "passed over", passed)]
    for who in [agent] if caller is None or caller is agent else [agent, caller]:
        before = [received for received in who.received if received not in told]
        lines += [*_list(who, f"{who.name} got before", before), _last_sent(who)]
    return "\n  ".join((headline, *lines))


def shown(agent: UserAgent, received: Received) -> str:
    """One message: first line, from where, when it arrived."""
    arrivals = [at for at in agent.endpoint.arrivals(received.data, received.source) if at <= received.time]
    time = received.time if not arrivals else arrivals[-1] if received.is_repeated else arrivals[0]
    again = " again" if received.is_repeated else ""
    return f"{first_line(received.data)}{again} from {received.source} at t={time:.3f}"


def _list(agent: UserAgent, title: str, received: Iterable[Received]) -> list[str]:
    messages = list(received)
    if not messages:
        return []
    more = f"{len(messages) - _LISTED} more, then " if len(messages) > _LISTED else ""
    return [f"{title}: {more}{'; '.join(shown(agent, message) for message in messages[-_LISTED:])}"]


def _last_sent(agent: UserAgent) -> str:
    sent = agent.last_sent
    if sent is None:
        return f"{agent.name} has sent nothing"
    record = agent.endpoint.sent_record(sent.data)
    fate = "" if record is None or record.fate == "delivered" else f": {record.fate}"
    return f"{agent.name} sent last: {first_line(sent.data)} to {sent.to} at t={sent.time:.3f}{fate}"


def _hints(received: Received) -> list[str]:
    """What the message itself tells of a reason."""
    message = received.message
    if message is None:
        return [received.problem]
    hints = [f"{name}: {value}" for name in _HINTS for value in message.headers.get_all(name)]
    if isinstance(message, model.Response) and message.status >= 300 and message.body:
        hints.append("body: " + message.body.decode("utf-8", "backslashreplace").split("\n")[0].strip())
    return [hint[:_HINT_LENGTH] for hint in hints]
