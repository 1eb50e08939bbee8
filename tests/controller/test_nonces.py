"""What nonces tell of proxies: who was sent something new, who has yet to take it, who is named."""

from __future__ import annotations

import pytest

from rollout.controller.nonces import ERROR_LENGTH_MAX, NAMED_COUNT_MAX, SILENT_SECONDS, Nonced
from rollout.ports import WORDS_LENGTH_MAX, Nonces, Proxy, XdsType

CDS, EDS, LDS, RDS = XdsType.CDS, XdsType.EDS, XdsType.LDS, XdsType.RDS


def proxy(name: str = "a.shop", **types: tuple[str, ...]) -> Proxy:
    """Each type with what was sent, what was taken, and perhaps why not."""
    nonces = {
        XdsType(kind): Nonces(sent=said[0], acked=said[1], error="".join(said[2:]))
        for kind, said in types.items()
    }
    return Proxy(name=name, nonces=nonces)


def looked(*looks: tuple[float, list[Proxy]]) -> Nonced:
    nonced = Nonced()
    for now, proxies in looks:
        nonced.learn(proxies, now=now)
    return nonced


def test_before_the_first_look_nothing_is_known() -> None:
    nonced = Nonced()

    assert nonced.of({CDS, EDS, LDS, RDS}) == {}
    assert nonced.behind({RDS}, since={}) == {}
    assert nonced.moved_seconds({RDS}) < 0


def test_a_proxy_that_was_sent_something_new_is_a_change_and_one_that_is_new_itself_is_not() -> (
    None
):
    nonced = looked((0, [proxy(RDS=("1", "1"), CDS=("1", "1"))]))
    before = nonced.newest

    nonced.learn([proxy(RDS=("1", "1"), CDS=("2", "2")), proxy("b.shop", RDS=("9", "9"))], now=1)

    assert nonced.changed({CDS}, since=before, written_seconds=0)
    assert not nonced.changed({RDS}, since=before, written_seconds=0)
    assert nonced.moved_seconds({CDS}) == 1


def test_what_was_sent_last_is_remembered_by_type() -> None:
    nonced = looked(
        (0, [proxy(RDS=("1", "1"), EDS=("1", "1"))]), (3, [proxy(RDS=("1", "1"), EDS=("2", "2"))])
    )

    assert nonced.moved_seconds({RDS}) == 0
    assert nonced.moved_seconds({EDS, RDS}) == 3


def test_a_proxy_that_has_not_taken_what_it_was_sent_is_behind() -> None:
    nonced = looked((0, [proxy(RDS=("1", "1"))]))
    before = nonced.newest

    nonced.learn([proxy(RDS=("2", "1"))], now=1)
    assert list(nonced.behind({RDS}, since=before)) == [("a.shop", RDS)]
    assert nonced.behind({LDS}, since=before) == {}

    nonced.learn([proxy(RDS=("2", "2"))], now=2)
    assert nonced.behind({RDS}, since=before) == {}


def test_one_that_was_silent_before_the_write_already_is_behind_too() -> None:
    nonced = looked((0, [proxy(RDS=("2", "1"))]))

    assert list(nonced.behind({RDS}, since=nonced.newest)) == [("a.shop", RDS)]


def test_what_was_rejected_before_the_write_and_not_sent_again_is_not_behind() -> None:
    nonced = looked((0, [proxy(LDS=("2", "1", "cannot bind"))]))
    before = nonced.newest
    nonced.learn([proxy(LDS=("2", "1", "cannot bind"))], now=1)

    assert nonced.behind({LDS}, since=before) == {}
    assert list(nonced.rejected) == [("a.shop", LDS)]

    nonced.learn([proxy(LDS=("3", "1", "cannot bind"))], now=2)
    assert list(nonced.behind({LDS}, since=before)) == [("a.shop", LDS)]


def test_a_rejection_that_names_the_subset_is_of_it_however_old() -> None:
    words = "Error adding/updating cluster(s) outbound|80|v2|reviews.shop.svc.cluster.local: no"
    nonced = looked((0, [proxy(CDS=("2", "1", words))]))
    before = nonced.newest

    assert list(nonced.behind({CDS}, since=before, named_as="|v2|reviews")) == [("a.shop", CDS)]
    assert nonced.behind({CDS}, since=before, named_as="|v3|reviews") == {}


@pytest.mark.parametrize(
    "words",
    [
        "Proto constraint validation failed (ClusterValidationError.Name: value is too long)",
        ("Error adding/updating cluster(s) " + "another: no such socket, " * 50)[:WORDS_LENGTH_MAX],
    ],
    ids=["as a whole", "cut short"],
)
def test_a_rejection_that_does_not_name_all_that_it_is_of_may_be_of_the_subset(words: str) -> None:
    nonced = looked((0, [proxy(CDS=("2", "1", words))]))

    found = nonced.behind({CDS}, since=nonced.newest, named_as="|v2|reviews")

    assert list(found) == [("a.shop", CDS)]


def test_endpoints_that_are_under_way_for_the_first_time_are_not_behind() -> None:
    nonced = looked((0, [proxy(EDS=("1", "1"))]), (1, [proxy(EDS=("2", "1"))]))
    before = nonced.newest
    assert nonced.behind({EDS}, since=before) == {}

    nonced.learn([proxy(EDS=("3", "2"))], now=2)
    assert nonced.behind({EDS}, since=before) == {}

    nonced.learn([proxy(EDS=("4", "2"))], now=3)
    assert list(nonced.behind({EDS}, since=before)) == [("a.shop", EDS)]


def test_a_proxy_is_named_when_it_rejects_or_is_silent_for_long_and_not_before() -> None:
    proxies = [proxy(RDS=("2", "1", "no such cluster.")), proxy("b.shop", RDS=("2", "1"))]
    nonced = looked((0, proxies))
    rejected = "a.shop has rejected RDS: no such cluster"

    assert nonced.named(nonced.of({RDS})) == rejected

    nonced.learn(proxies, now=SILENT_SECONDS)
    assert nonced.named(nonced.of({RDS})) == (
        f"{rejected}; b.shop has not acknowledged RDS for more than 3 s"
    )


def test_one_that_took_something_meanwhile_was_not_silent() -> None:
    nonced = looked(
        (0, [proxy(RDS=("2", "1"))]),
        (2, [proxy(RDS=("3", "2"))]),
        (SILENT_SECONDS, [proxy(RDS=("3", "2"))]),
    )

    assert nonced.named(nonced.of({RDS})) == ""


def test_many_are_counted_and_long_words_cut() -> None:
    crowd = [proxy(f"p{i}.shop", RDS=("2", "1", "x" * 1000)) for i in range(NAMED_COUNT_MAX + 2)]
    nonced = looked((0, crowd))

    told = nonced.named(nonced.of({RDS}))

    assert told.count("has rejected") == NAMED_COUNT_MAX
    assert told.endswith("; and 2 more")
    assert "x" * ERROR_LENGTH_MAX not in told
    assert nonced.everybody == "all 5 proxies of this istiod"


def test_a_proxy_that_is_gone_is_forgotten() -> None:
    nonced = looked((0, [proxy(RDS=("2", "1"))]), (1, []))

    assert nonced.behind({RDS}, since={}) == {}
    assert nonced.everybody == "all 0 proxies of this istiod"
