"""The controller's own metrics, as a scraper sees them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from rollout.api.meta import LEASE, POD, ROLLOUT, Key
from rollout.controller.record import ROLLOUT_COUNT_MAX, Record

KEY = Key("shop", "checkout")


def scraped(record: Record) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(record.render().decode())
        for sample in family.samples
    }


def test_every_counter_stands_at_zero_before_anything_happened() -> None:
    seen = scraped(Record())

    assert seen["rollout_reconciles_total", "retry"] == 0
    assert seen["rollout_api_requests_total", "409", "rollouts", "patch"] == 0
    assert seen["rollout_watch_restarts_total", "pods", "gone"] == 0
    assert seen["rollout_prometheus_queries_total", "unreachable", "requests"] == 0
    assert seen["rollout_leader",] == 0
    assert not any(name.endswith("_created") for name, *_ in seen)
    assert len(seen) < 500


def test_what_happens_is_counted_under_a_short_list_of_labels() -> None:
    record = Record()

    record.reconciled("look_again", seconds=0.01)
    for code in (200, 201, 409, 422, 503, 0, 302):
        record.asked_api("patch", ROLLOUT, code, 0.01)
    record.asked_api("replace", LEASE, 200, 0.01)
    record.asked_prometheus("requests", "ok")
    record.asked_istiod("ok")
    record.propagated(seconds=0.31)
    record.watch_ended(POD, "gone")
    record.leads(leading=True)

    seen = scraped(record)
    requests = "rollout_api_requests_total"
    assert seen["rollout_reconciles_total", "look_again"] == 1
    assert seen[requests, "2xx", "rollouts", "patch"] == 2
    assert [
        seen[requests, code, "rollouts", "patch"] for code in ("409", "4xx", "5xx", "none")
    ] == [
        1,
        1,
        1,
        2,
    ]
    assert seen["rollout_watch_restarts_total", "pods", "gone"] == 1
    assert seen["rollout_istiod_looks_total", "ok"] == 1
    assert seen["rollout_istiod_looks_total", "failed"] == 0
    assert seen["rollout_propagation_seconds_bucket", "0.3"] == 0
    assert seen["rollout_propagation_seconds_bucket", "0.5"] == 1
    assert seen["rollout_leader",] == 1


def test_a_rollout_has_one_weight_and_one_phase_until_it_is_gone() -> None:
    record = Record()
    record.show_rollout(KEY, weight_percent=5, phase="Progressing")

    record.show_rollout(KEY, weight_percent=25, phase="Waiting")
    during = scraped(record)
    record.forget_rollout(KEY)
    record.forget_rollout(KEY)
    after = scraped(record)

    assert during["rollout_weight_percent", "checkout", "shop"] == 25
    phases = [name for name in during if name[0] == "rollout_phase"]
    assert phases == [("rollout_phase", "checkout", "shop", "Waiting")]
    assert not any("checkout" in name for name in after)


def test_the_number_of_rollouts_with_series_is_bounded() -> None:
    record = Record()

    for number in range(ROLLOUT_COUNT_MAX + 5):
        record.show_rollout(Key("shop", str(number)), weight_percent=0, phase="Stable")

    assert len(record._shown) == ROLLOUT_COUNT_MAX


def test_queue_and_caches_are_asked_when_scraped() -> None:
    record = Record()
    depths = [3.0]
    record.show_queue(depth=lambda: depths[0], oldest=lambda: 1.5)
    record.show_cache(POD, lambda: 7)

    depths[0] = 4
    seen = scraped(record)

    assert seen["rollout_queue_depth",] == 4
    assert seen["rollout_queue_oldest_seconds",] == 1.5
    assert seen["rollout_cached_objects", "pods"] == 7
