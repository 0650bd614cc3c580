import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.call_plan import (
    MAX_BARRED,
    Attempt,
    CallPlan,
    GiveUp,
    Path,
    first_attempt,
    is_barred,
    is_disowned,
    is_final,
    validate_paths,
)
from macula_actors.core.rpc.failure import ELSEWHERE, Code
from macula_actors.core.rpc.provider import Provider
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    RemoteCallError,
    RemoteProtocolError,
)

HERE = Endpoint("192.0.2.1", 9443)
GATEWAY = Contact(HERE, NodeId(b"\x99" * 32))
LOST = ConnectionLostError("network", 0)
LATE = CallTimeoutError("node", 1.0)
FINAL = RemoteCallError("sold_out", "try tomorrow")
NOT_THERE = RemoteCallError(Code.NO_HANDLER, "add")


def provider(byte, *, endpoint=HERE, gateways=()):
    return Provider(procedure="add", node_id=NodeId(bytes([byte]) * 32), endpoint=endpoint, gateways=gateways)


A, B, C, D = map(provider, (1, 2, 3, 4))
ANYWHERE = provider(5, gateways=(GATEWAY,))
NOWHERE = provider(6, endpoint=None)


def plan(*providers, **options):
    return CallPlan(providers, **{"procedure": "add", "now": 0.0, "deadline": 8.0, **options})


def play(planned, error=LOST, now=0.0):
    """Let every attempt fail with ``error`` at ``now``; return the attempts, and the error of giving up."""
    attempts = []
    while isinstance(step := planned.next(now), Attempt):
        attempts.append(step)
        planned.failed(step, error, now)
    return attempts, step.error


def ways(attempts):
    return [(attempt.provider, attempt.path) for attempt in attempts]


def test_each_path_of_a_provider_is_tried_before_the_next_provider():
    attempts, _ = play(plan(ANYWHERE, A))

    assert ways(attempts) == [
        (ANYWHERE, Path.DIRECT),
        (ANYWHERE, Path.ROUTED),
        (ANYWHERE, Path.RELAY),
        (A, Path.DIRECT),
        (A, Path.ROUTED),
    ]


def test_a_provider_without_endpoint_is_called_directly_only_if_there_is_a_connection():
    assert ways(play(plan(NOWHERE))[0]) == [(NOWHERE, Path.ROUTED)]
    assert ways(play(plan(NOWHERE, connected={NOWHERE.node_id}))[0]) == [
        (NOWHERE, Path.DIRECT),
        (NOWHERE, Path.ROUTED),
    ]


def test_only_allowed_paths_are_tried_and_a_provider_without_any_costs_no_attempt():
    attempts, _ = play(plan(NOWHERE, ANYWHERE, A, paths=[Path.RELAY, Path.DIRECT], max_attempts=2))

    assert ways(attempts) == [(ANYWHERE, Path.DIRECT), (ANYWHERE, Path.RELAY), (A, Path.DIRECT)]


def test_a_node_that_is_named_twice_is_tried_once_where_it_was_named_first():
    attempts, _ = play(plan(A, B, provider(1, endpoint=None), paths=[Path.ROUTED]))

    assert ways(attempts) == [(A, Path.ROUTED), (B, Path.ROUTED)]


def test_the_last_attempt_gets_all_the_time_and_each_before_it_half_of_what_is_left():
    planned = plan(A, B, paths=[Path.DIRECT])

    first = planned.next(0.0)
    planned.failed(first, LATE, 4.0)
    second = planned.next(4.0)

    assert (first, second) == (Attempt(A, Path.DIRECT, 4.0), Attempt(B, Path.DIRECT, 4.0))


def test_an_attempt_that_fails_at_once_costs_the_next_one_nothing():
    attempts, _ = play(plan(A, B, C, paths=[Path.DIRECT]))

    assert [attempt.timeout for attempt in attempts] == [4.0, 4.0, 8.0]


def test_over_a_live_connection_the_handler_of_the_last_provider_gets_all_the_time():
    connected = {A.node_id, B.node_id}

    attempts, _ = play(plan(A, B, connected=connected))

    assert [attempt.timeout for attempt in attempts] == [4.0, 4.0, 8.0, 8.0]
    assert plan(A).next(0.0).timeout == 4.0


def test_the_handlers_error_ends_the_call():
    attempts, error = play(plan(A, B), FINAL)

    assert (len(attempts), error) == (1, FINAL)


def test_the_handlers_error_counts_even_if_it_comes_late():
    assert play(plan(A, B), FINAL, now=7.9)[1] is FINAL
    planned = plan(A, B)
    planned.failed(planned.next(0.0), FINAL, 9.0)

    assert planned.next(9.0) == GiveUp(FINAL)


def test_a_provider_that_says_it_is_none_is_not_asked_again_by_another_path():
    attempts, error = play(plan(ANYWHERE, A), NOT_THERE)

    assert ways(attempts) == [(ANYWHERE, Path.DIRECT), (A, Path.DIRECT)]
    assert isinstance(error, NoRouteError)


def test_the_error_of_the_only_attempt_is_that_of_the_call():
    assert play(plan(A, paths=[Path.DIRECT]))[1] is LOST


def test_when_all_attempts_have_failed_the_error_says_how_each_did():
    _, error = play(plan(A, B, paths=[Path.DIRECT]))

    assert isinstance(error, NoRouteError)
    assert (error.peer, error.tried) == (
        "add",
        (("direct 01010101@192.0.2.1:9443", LOST), ("direct 02020202@192.0.2.1:9443", LOST)),
    )


def test_the_error_names_the_provider_if_there_is_only_one():
    assert play(plan(A))[1].peer == "01010101@192.0.2.1:9443"


@pytest.mark.parametrize("found", [(A,), (A, B)])
def test_at_the_deadline_the_call_has_timed_out_for_what_failed_last(found):
    planned = plan(*found, paths=[Path.DIRECT])
    planned.failed(planned.next(0.5), LOST, 8.0)

    error = planned.next(8.0).error

    assert isinstance(error, CallTimeoutError)
    assert (error.timeout, error.__cause__) == (8.0, LOST)


def test_the_call_has_timed_out_if_the_last_attempt_with_all_that_was_left_has():
    _, error = play(plan(A), LATE, now=7.99)

    assert isinstance(error, CallTimeoutError)
    assert (error.timeout, error.__cause__) == (8.0, LATE)


def test_what_has_failed_before_the_deadline_is_no_timeout_when_it_is_looked_at_later():
    planned = plan(A, paths=[Path.DIRECT])
    planned.failed(planned.next(0.0), LOST, 1.0)

    assert planned.next(9.0) == GiveUp(LOST)


def test_a_call_without_time_is_not_begun():
    error = plan(A, deadline=0.0).next(0.0).error

    assert isinstance(error, CallTimeoutError)
    assert error.__cause__ is None


def test_without_providers_there_is_none():
    error = plan().next(0.0).error

    assert isinstance(error, NoProviderError)
    assert error.procedure == "add"


def test_without_a_path_to_any_provider_there_is_no_route():
    error = plan(A, paths=[Path.RELAY]).next(0.0).error

    assert isinstance(error, NoRouteError)
    assert [path for path, _ in error.tried] == [f"relay {A.contact}"]
    assert str(error).endswith("it names no gateway that can reach it")


def test_an_error_tells_why_each_allowed_path_leads_nowhere_but_of_a_few_providers_only():
    error = (
        plan(*(provider(each, endpoint=None) for each in range(99)), paths=[Path.RELAY, Path.DIRECT]).next(0.0).error
    )

    assert [path.split()[0] for path, _ in error.tried[:4]] == ["direct", "relay"] * 2
    assert len(error.tried) == MAX_BARRED
    assert "it tells nobody where to dial it, and is not connected" in str(error)


@pytest.mark.parametrize("paths", [["direct"], (Path.RELAY,), {Path.ROUTED}, list(Path)])
def test_a_call_may_be_told_which_paths_to_take(paths):
    validate_paths(paths)


@pytest.mark.parametrize("paths", [[], "direct", 5, ["foo"], ["direct", "Relay"], [[]]])
def test_paths_that_are_none_are_refused(paths):
    with pytest.raises(ValueError, match="allowed is a list of at least one of direct, routed, relay"):
        validate_paths(paths)


def test_a_procedure_is_disowned_if_all_who_were_called_say_that_they_do_not_provide_it():
    assert is_disowned(NOT_THERE)
    assert is_disowned(NoRouteError("add", (("direct a", NOT_THERE), ("direct b", NOT_THERE))))


@pytest.mark.parametrize(
    "error", [FINAL, LOST, NoRouteError("add"), NoRouteError("add", (("direct a", NOT_THERE), ("direct b", LOST)))]
)
def test_a_procedure_is_not_disowned_by_who_was_not_reached(error):
    assert not is_disowned(error)


def test_no_path_is_known_if_none_was_tried():
    barred = NoRouteError("a", reason="it names no gateway that can reach it")

    assert is_barred(NoRouteError("add", (("direct a", barred), ("relay a", barred))))


@pytest.mark.parametrize(
    "error",
    [FINAL, LOST, NoRouteError("add"), NoRouteError("add", (("direct a", NoRouteError("a")), ("relay a", LOST)))],
)
def test_a_path_was_known_if_one_was_tried(error):
    assert not is_barred(error)


def test_what_comes_after_the_end_changes_nothing():
    planned = plan(A, B)
    attempt = planned.next(0.0)
    planned.failed(attempt, FINAL, 1.0)

    planned.failed(attempt, LOST, 2.0)

    assert planned.next(2.0) == planned.next(99.0) == GiveUp(FINAL)


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        LATE,
        NoRouteError("node"),
        OverloadedError("calls"),
        MaxHopsExceededError(10),
        NoProviderError("add"),
        RemoteProtocolError("bad_frame", "no message"),
        *(RemoteCallError(code, "") for code in ELSEWHERE),
    ],
)
def test_after_an_error_of_the_mesh_the_call_goes_on(error):
    assert not is_final(error)


@pytest.mark.parametrize(
    "error",
    [
        FINAL,
        *(
            RemoteCallError(code, "")
            for code in (Code.HANDLER_ERROR, Code.BAD_ARGS, Code.NOT_PERMITTED, Code.CANCELLED)
        ),
        LocalProtocolError("bad_value", "a set"),
        KeyError("a bug"),
    ],
)
def test_an_error_of_the_handler_or_of_this_program_is_final(error):
    assert is_final(error)


def test_where_a_path_had_no_room_and_no_other_led_there_that_is_told():
    planned = plan(provider(1))
    full = OverloadedError("bytes that wait for a stream", 8)

    planned.failed(planned.next(0.0), full, 0.0)
    planned.failed(planned.next(0.0), NoRouteError("node"), 0.0)

    assert planned.next(0.0) == GiveUp(full)


@st.composite
def providers(draw):
    return provider(
        draw(st.integers(1, 6)),
        endpoint=draw(st.sampled_from([None, HERE])),
        gateways=draw(st.sampled_from([(), (GATEWAY,)])),
    )


ERRORS = st.sampled_from([LOST, LATE, NOT_THERE, OverloadedError("calls"), FINAL])
OUTCOMES = st.tuples(ERRORS, st.floats(0.0, 1.5))  # how an attempt failed, after which part of its time
PATHS = st.sets(st.sampled_from(Path))


@given(
    st.lists(providers(), max_size=8),
    PATHS,
    st.integers(1, 4),
    st.floats(0.001, 100.0),
    st.lists(OUTCOMES, min_size=30, max_size=30),
)
def test_a_plan_ends_and_keeps_to_its_bounds(found, paths, max_attempts, deadline, outcomes):
    planned, now, tried, errors = plan(*found, paths=paths, max_attempts=max_attempts, deadline=deadline), 0.0, [], []
    coming = iter(outcomes)  # more than there can be attempts: the plan ends before they do

    while isinstance(step := planned.next(now), Attempt):
        assert now < deadline
        assert (deadline - now) / 2 <= step.timeout <= deadline - now
        error, part = next(coming)
        now += part * step.timeout
        tried.append(step)
        errors.append(error)
        planned.failed(step, error, now)

    assert len({attempt.provider.node_id for attempt in tried}) <= max_attempts
    assert len({(attempt.provider.node_id, attempt.path) for attempt in tried}) == len(tried)
    assert {attempt.path for attempt in tried} <= paths
    assert not any(map(is_final, errors[:-1]))
    assert (step.error is FINAL) == (errors[-1:] == [FINAL])
    assert planned.next(now) == step


@given(st.lists(providers(), max_size=8), st.lists(st.floats(0.0, 3.0), min_size=30, max_size=30))
def test_a_plan_ends_even_if_it_is_never_told_what_failed(found, pauses):
    planned, now = plan(*found), 0.0

    steps = [planned.next(now := now + pause) for pause in pauses]

    assert isinstance(steps[-1], GiveUp)


@given(st.lists(providers(), max_size=4), PATHS, st.integers(1, 4), st.floats(-1.0, 100.0))
def test_a_first_attempt_without_a_plan_is_that_of_the_plan(found, paths, max_attempts, deadline):
    planned = plan(*found, paths=paths, max_attempts=max_attempts, deadline=deadline).next(0.0)

    assert first_attempt(found, paths, 0.0, deadline) in {None, planned}


def test_a_provider_that_can_be_dialled_needs_no_plan_at_first():
    assert first_attempt([A, NOWHERE], set(Path), 2.0, 8.0) == Attempt(A, Path.DIRECT, 3.0)
    assert first_attempt([NOWHERE, A], set(Path), 2.0, 8.0) is None
