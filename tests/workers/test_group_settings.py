"""What a `WorkerGroup` refuses when it is declared."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trio_sip import WorkerGroup


def test_defaults() -> None:
    group = WorkerGroup("default")
    assert (group.workers, group.queue, group.ordered, group.when_full) == (4, 1024, True, "refuse")
    assert (group.deadline, group.max_age) == (None, 2.0)


@pytest.mark.parametrize("name", ["", "shard-$si", None, 7])
def test_a_name_is_text_without_pseudo_variables(name: Any) -> None:
    with pytest.raises(ValueError, match="a worker group needs a name"):
        WorkerGroup(name)


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"workers": -1},
        {"workers": True},
        {"workers": "4"},
        {"workers": 2.5},
        {"workers": 10**6},
        {"queue": 0},
        {"queue": 1.5},
        {"queue": 10**9},
        {"deadline": 0},
        {"deadline": -1.0},
        {"deadline": math.nan},
        {"max_age": 0},
        {"max_age": None},
        {"max_age": math.nan},
        {"when_full": "block"},
    ],
    ids=str,
)
def test_values_out_of_bounds_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        WorkerGroup("g", **settings)
