"""Keys, kinds and times: where objects live and how instants are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.api import meta

ZONES = st.integers(-12 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


class Moment(meta.Model):
    """A model with nothing but a time."""

    at: meta.Time
    """When."""


class Amount(meta.Model):
    """A model with nothing but a number."""

    amount_percent: float
    """How much."""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (meta.ROLLOUT.path(), "/apis/rollout.dev/v1alpha1/rollouts"),
        (
            meta.ROLLOUT.path(namespace="shop", name="checkout", subresource="status"),
            "/apis/rollout.dev/v1alpha1/namespaces/shop/rollouts/checkout/status",
        ),
        (meta.POD.path(namespace="shop"), "/api/v1/namespaces/shop/pods"),
        (
            meta.LEASE.path(namespace="ops", name="leader"),
            "/apis/coordination.k8s.io/v1/namespaces/ops/leases/leader",
        ),
    ],
    ids=["all of a kind", "status of one", "core group", "one object"],
)
def test_a_kind_knows_the_paths_of_its_objects(path: str, expected: str) -> None:
    assert path == expected


def test_a_key_is_printed_as_namespace_and_name() -> None:
    assert str(meta.Key("shop", "checkout")) == "shop/checkout"
    assert str(meta.Key("", "standard")) == "standard"


def test_a_kind_is_called_as_manifests_call_it() -> None:
    assert str(meta.VIRTUAL_SERVICE) == "VirtualService"
    assert meta.VIRTUAL_SERVICE.api_version == "networking.istio.io/v1"
    assert meta.EVENT.api_version == "v1"


MOMENTS = st.builds(
    lambda seconds, zone: datetime.fromtimestamp(seconds, tz=zone),
    st.floats(0, 7e9),
    ZONES,
)


@given(moment=MOMENTS)
def test_a_time_survives_printing_and_reading_to_the_millisecond(moment: datetime) -> None:
    written = Moment(at=moment).model_dump(mode="json")

    again = Moment.model_validate(written)

    assert abs(again.at - moment) < timedelta(milliseconds=1)
    assert again.model_dump(mode="json") == written


def test_a_time_is_printed_in_utc_whatever_zone_it_came_with() -> None:
    berlin = timezone(timedelta(hours=2))

    text = meta.print_time(datetime(2026, 7, 1, 12, 30, tzinfo=berlin))

    assert text == "2026-07-01T10:30:00.000Z"


def test_a_time_with_the_seconds_of_kubernetes_is_read() -> None:
    assert Moment.model_validate({"at": "2026-07-01T10:30:00Z"}).at == datetime(
        2026, 7, 1, 10, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "text",
    ["2026-07-01T10:30:00", "2026-07-01", "soon", "", "0001-01-01T00:00:00+12:00"],
    ids=["no zone", "a day", "a word", "nothing", "before the first year"],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Moment.model_validate({"at": text})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_cannot_carry_are_refused(number: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Amount(amount_percent=number)


def test_models_are_frozen_and_know_their_fields() -> None:
    amount = Amount(amount_percent=5)

    with pytest.raises(ValidationError, match="frozen"):
        amount.amount_percent = 6  # type: ignore[misc]  # that it fails is the point
    with pytest.raises(ValidationError, match="Extra inputs"):
        Amount.model_validate({"amountPercent": 5, "unit": "percent"})


def test_models_speak_camel_case_outside() -> None:
    assert Amount(amount_percent=5).model_dump() == {"amountPercent": 5.0}
