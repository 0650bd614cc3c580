from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.service_book import REST, Service, ServiceBook
from macula_actors.errors import OverloadedError

TTL = 60.0  # seconds
FOREVER_MS = 10**15


def node(number):
    return NodeId(bytes(31) + bytes([number]))


def provider(number, procedure="p", expires_at=FOREVER_MS):
    return Provider(procedure=procedure, node_id=node(number), expires_at=expires_at)


def a_book(services=None, cache=None, *, max_local=3, max_cached=3):
    return ServiceBook(
        {} if services is None else services,
        {} if cache is None else cache,
        cache_ttl=TTL,
        max_local=max_local,
        max_cached=max_cached,
    )


def service(procedure="p", handler=print):
    return Service(procedure, handler, {})


@pytest.fixture
def book():
    return a_book()


# Own services


def test_a_service_is_there_until_it_is_withdrawn(book):
    assert book.advertise(service()) is None
    assert book.service("p") == service()
    assert book.withdraw("p") == service()
    assert book.service("p") is None
    assert book.withdraw("p") is None


def test_a_service_takes_the_place_of_the_one_before(book):
    book.advertise(service())

    assert book.advertise(service(handler=repr)) == service()
    assert book.services == (service(handler=repr),)
    assert book.local == 1


def test_one_service_too_many_is_refused_but_not_one_that_is_there(book):
    for procedure in "abc":
        book.advertise(service(procedure))

    with pytest.raises(OverloadedError):
        book.advertise(service("d"))
    book.advertise(service("a", repr))
    assert [each.procedure for each in book.services] == ["a", "b", "c"]


@given(st.floats(0, 1e9))
def test_a_service_never_expires(later):
    book = a_book()
    book.advertise(service())

    assert book.prune(later, int(later * 1000)) == 0
    assert book.service("p") == service()


# Providers


def test_what_was_never_looked_up_is_to_be_looked_up(book):
    assert book.providers("p", 0.0, 0) is None


@pytest.mark.parametrize(("age", "is_there"), [(0.0, True), (TTL - 0.001, True), (TTL, False), (TTL + 1.0, False)])
def test_providers_are_cached_for_the_caches_ttl(book, age, is_there):
    book.store("p", (provider(1),), 100.0)

    assert (book.providers("p", 100.0 + age, 0) is not None) == is_there
    assert book.cached == is_there


def test_a_provider_expires_with_its_own_record(book):
    book.store("p", (provider(1, expires_at=1000), provider(2)), 0.0)

    assert book.providers("p", 1.0, 999) == (provider(1, expires_at=1000), provider(2))
    assert book.providers("p", 1.0, 1000) == (provider(2),)


def test_when_all_providers_have_expired_they_are_looked_up_again(book):
    book.store("p", (provider(1, expires_at=1000),), 0.0)

    assert book.providers("p", 1.0, 1000) is None
    assert book.cached == 0


def test_that_there_is_nobody_is_never_believed(book):
    book.store("p", (), 100.0)

    assert book.providers("p", 100.0, 0) is None


@pytest.mark.parametrize(("age", "rest"), [(0.0, REST), (REST / 4, 0.75 * REST), (REST, 0.0), (9.0, 0.0)])
def test_after_a_lookup_in_vain_there_is_a_rest(book, age, rest):
    book.store("p", (), 100.0)

    assert book.rest("p", 100.0 + age) == pytest.approx(rest)


def test_what_was_found_or_never_looked_up_needs_no_rest(book):
    book.store("p", (provider(1),), 100.0)

    assert book.rest("p", 100.0) == book.rest("q", 100.0) == 0.0


def test_pruning_forgets_lookups_in_vain(book):
    book.store("p", (), 100.0)

    assert (book.prune(100.0, 0), book.prune(101.0, 0)) == (0, 1)


def test_the_procedure_that_was_looked_up_longest_ago_makes_room(book):
    for second, procedure in enumerate("abcad"):
        book.store(procedure, (provider(1, procedure),), float(second))

    assert [procedure for procedure in "abcd" if book.providers(procedure, 5.0, 0)] == ["a", "c", "d"]


def test_a_procedure_that_is_looked_up_again_takes_nobodys_room(book):
    for second, procedure in enumerate("abcb"):
        book.store(procedure, (provider(1, procedure),), float(second))

    assert [procedure for procedure in "abc" if book.providers(procedure, 4.0, 0)] == ["a", "b", "c"]


def test_a_book_without_room_caches_nothing():
    book = a_book(max_cached=0)
    book.store("p", (provider(1),), 0.0)

    assert book.providers("p", 0.0, 0) is None


def test_a_provider_that_is_forgotten_leaves_the_others(book):
    book.store("p", (provider(1), provider(2)), 0.0)

    assert book.forget("p", node(1))
    assert not book.forget("p", node(1))
    assert not book.forget("other", node(1))
    assert book.providers("p", 0.0, 0) == (provider(2),)


def test_without_its_last_provider_a_procedure_is_looked_up_again(book):
    book.store("p", (provider(1),), 0.0)
    book.forget("p", node(1))

    assert book.providers("p", 0.0, 0) is None


def test_a_forgotten_provider_does_not_prolong_the_others(book):
    book.store("p", (provider(1), provider(2)), 0.0)
    book.forget("p", node(1))

    assert book.providers("p", TTL, 0) is None


def test_a_node_is_forgotten_everywhere(book):
    book.store("a", (provider(1, "a"), provider(2, "a")), 0.0)
    book.store("b", (provider(1, "b"),), 0.0)
    book.store("c", (provider(2, "c"),), 0.0)

    assert book.forget_node(node(1)) == 2
    assert [book.providers(procedure, 0.0, 0) for procedure in "abc"] == [
        (provider(2, "a"),),
        None,
        (provider(2, "c"),),
    ]


def test_pruning_drops_what_has_expired_and_nothing_else(book):
    book.store("old", (provider(1),), 0.0)
    book.store("expired", (provider(1, expires_at=1),), TTL)
    book.store("young", (provider(1),), TTL)

    assert book.prune(TTL, 1) == 2
    assert book.cached == 1
    assert book.providers("young", TTL, 1)


def test_another_book_over_the_same_mappings_has_the_same_contents():
    services, cache = {}, {}
    book = a_book(services, cache)
    book.advertise(service())
    book.store("q", (provider(1, "q"),), 0.0)
    again = a_book(services, cache)

    assert again.services == (service(),)
    assert again.providers("q", 1.0, 0) == (provider(1, "q"),)


PROCEDURES = st.sampled_from("abcdef")
NUMBERS = st.integers(1, 4)
PROVIDERS = st.lists(st.tuples(NUMBERS, st.integers(0, 200_000)), max_size=4, unique_by=itemgetter(0))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), PROCEDURES, PROVIDERS),
        st.tuples(st.just("forget"), PROCEDURES, NUMBERS),
        st.tuples(st.just("forget_node"), PROCEDURES, NUMBERS),
        st.tuples(st.just("prune"), PROCEDURES, st.none()),
    ),
    max_size=30,
)


class Model:
    """The same with no bound, and nothing ever dropped before it is looked at."""

    def __init__(self):
        self.found = {}

    def store(self, procedure, found, now):
        self.found[procedure] = (found, now)

    def forget(self, procedure, number):
        found, at = self.found.get(procedure, ((), 0.0))
        rest = tuple(each for each in found if each.node_id != node(number))
        self.found.update({procedure: (rest, at)} if rest else {})
        if found and not rest:
            del self.found[procedure]

    def providers(self, procedure, now):
        found, at = self.found.get(procedure, ((), -1e9))
        left = tuple(each for each in found if each.expires_at > now * 1000)
        return left if now - at < TTL and left else None


@given(STEPS)
def test_the_cache_answers_as_one_without_bound_or_not_at_all(steps):
    book, bounded, model = a_book(max_cached=100), a_book(max_cached=3), Model()
    for number, (step, procedure, value) in enumerate(steps):
        now = number * 7.0
        both = (book, bounded)
        match step:
            case "store":
                found = tuple(provider(each, procedure, expires_at) for each, expires_at in value)
                _ = [each.store(procedure, found, now) for each in (*both, model)]
            case "forget":
                _ = [each.forget(procedure, node(value)) for each in both]
                model.forget(procedure, value)
            case "forget_node":
                _ = [each.forget_node(node(value)) for each in both]
                _ = [model.forget(each, value) for each in list(model.found)]
            case "prune":
                _ = [each.prune(now, int(now * 1000)) for each in both]

        assert bounded.cached <= 3
        assert [book.providers(each, now, int(now * 1000)) for each in "abcdef"] == [
            model.providers(each, now) for each in "abcdef"
        ]
        assert all(
            bounded.providers(each, now, int(now * 1000)) in {None, model.providers(each, now)} for each in "abcdef"
        )
