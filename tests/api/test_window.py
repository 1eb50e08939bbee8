"""Windows as they are written and read back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rollout.api import reading
from rollout.api.window import Closed, Windows
from rollout.base.errors import BadManifest


def test_times_are_kept_to_the_millisecond_so_that_a_plan_is_read_back_as_it_was_written() -> None:
    windows = Windows.model_validate(
        {"freeze": [{"until": "2027-01-02T00:00:00.123456+01:00", "reason": "year end"}]}
    )

    again = Windows.model_validate_json(windows.model_dump_json())

    assert windows.freeze[0].until == datetime(2027, 1, 1, 23, 0, 0, 123_000, tzinfo=UTC)
    assert again == windows


def test_the_end_of_what_is_closed_is_kept_likewise() -> None:
    closed = Closed(
        reason="Frozen", because="closed", until=datetime(2027, 1, 1, 0, 0, 0, 999, tzinfo=UTC)
    )

    assert Closed.model_validate_json(closed.model_dump_json()) == closed


@pytest.mark.parametrize("spec", [{"windows": {"allow": [{"cron": "0 9 * * mon"}]}}])
def test_an_opening_says_how_long_it_lasts(spec: dict[str, object]) -> None:
    with pytest.raises(BadManifest) as caught:
        reading.read_spec({"spec": {"host": "reviews", "revision": "v2", **spec}})

    assert str(caught.value) == "spec.windows.allow[0].for is missing; add it"
