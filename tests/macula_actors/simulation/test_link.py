import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.simulation.counters import Counters
from macula_actors.simulation.link import Link, Path

MANY = 5000
chances = st.floats(0.0, 1.0)
links = st.builds(
    Link,
    latency=st.floats(0.0, 1.0),
    jitter=st.floats(0.0, 1.0),
    loss=chances,
    duplication=chances,
    reordering=chances,
    rate=st.none() | st.floats(1.0, 1e6),
    max_in_flight=st.integers(0, 10),
)


def path(link, *, seed=0, source="a", target="b"):
    return Path(source, target, link, seed=seed, counters=Counters())


def arrivals(path, *, count=MANY, every=0.001, length=100):
    """Return when each of many datagrams arrives; none of them is in flight for the next."""
    dues = []
    for number in range(count):
        dues.append(list(path.transit(length, number * every)))
        path.in_flight = 0
    return dues


def test_a_datagram_arrives_after_the_latency():
    assert path(Link(latency=0.25)).transit(100, 1.0) == (1.25,)


def test_loss_is_as_frequent_as_said():
    lossy = path(Link(loss=0.1))

    lost = sum(not dues for dues in arrivals(lossy))

    assert lost == lossy._counters.lost == pytest.approx(0.1 * MANY, rel=0.15)


def test_jitter_is_spread_up_to_its_bound_and_keeps_order():
    dues = [due for (due,) in arrivals(path(Link(latency=0.1, jitter=0.02)), every=0.05)]
    delays = [due - number * 0.05 for number, due in enumerate(dues)]

    assert min(delays) >= 0.1
    assert max(delays) <= 0.12 + 1e-9
    assert statistics.mean(delays) == pytest.approx(0.11, rel=0.02)
    assert dues == sorted(dues)


def test_jitter_alone_never_reorders():
    dues = [due for (due,) in arrivals(path(Link(jitter=1.0)), every=0.0001)]

    assert dues == sorted(dues)


def test_some_datagrams_are_overtaken_as_often_as_said():
    dues = [due for (due,) in arrivals(path(Link(latency=0.1, reordering=0.2)))]
    overtaken = sum(due > min(dues[number + 1 :]) for number, due in enumerate(dues[:-1]))

    assert overtaken == pytest.approx(0.2 * MANY, rel=0.15)


def test_some_datagrams_arrive_twice_as_often_as_said():
    doubling = path(Link(duplication=0.3))

    twice = sum(len(dues) == 2 for dues in arrivals(doubling))

    assert twice == doubling._counters.duplicated == pytest.approx(0.3 * MANY, rel=0.1)


def test_a_rate_spaces_datagrams():
    slow = path(Link(latency=1.0, rate=1000.0))

    dues = [slow.transit(100, 0.0)[0] for _ in range(3)]

    assert dues == pytest.approx([1.1, 1.2, 1.3])


def test_what_the_queue_of_a_rate_does_not_hold_is_dropped():
    slow = path(Link(rate=1000.0, max_queue_bytes=250))

    assert [len(slow.transit(100, 0.0)) for _ in range(4)] == [1, 1, 0, 0]
    assert slow._counters.overflowed == 2
    assert slow.transit(100, 0.1)  # one of two is through


def test_a_path_holds_so_many_in_flight_and_no_more():
    narrow = path(Link(max_in_flight=2))

    assert [len(narrow.transit(100, 0.0)) for _ in range(3)] == [1, 1, 0]
    assert narrow._counters.overflowed == 1


def test_a_datagram_above_the_mtu_is_dropped():
    some = path(Link(mtu=1200))

    assert some.transit(1200, 0.0)
    assert not some.transit(1201, 0.0)
    assert some._counters.too_large == 1


def test_a_faster_link_may_overtake_what_the_slower_one_carries():
    some = path(Link(latency=10.0))
    some.transit(100, 0.0)

    some.change(Link(latency=0.1))

    assert some.transit(100, 0.0) == (0.1,)


def test_chance_depends_on_the_seed_and_on_both_names():
    def fate(**which):
        return arrivals(path(Link(loss=0.5), **which), count=100)

    assert fate() == fate()
    assert fate() != fate(seed=1)
    assert fate() != fate(source="c")
    assert fate() != fate(target="c")


@given(links, st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(0, 2000)), max_size=30), st.integers(0, 9))
def test_every_datagram_is_counted_and_none_arrives_early(link, sent, seed):
    some = path(link, seed=seed)
    random.Random(seed).shuffle(sent)

    arrived = [(now, due) for now, length in sent for due in some.transit(length, now)]

    counters = some._counters
    assert some.in_flight == len(arrived) <= link.max_in_flight
    assert len(sent) + counters.duplicated == len(arrived) + counters.lost + counters.overflowed + counters.too_large
    assert all(due >= now + link.latency for now, due in arrived)


@pytest.mark.parametrize("wrong", [{"loss": 1.1}, {"latency": -0.1}, {"rate": 0}, {"duplication": -1}, {"mtu": -1}])
def test_a_number_out_of_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"allowed|must|may"):
        Link(**wrong)
