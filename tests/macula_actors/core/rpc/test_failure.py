import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from macula_actors.core.rpc.failure import (
    ELSEWHERE,
    MAX_MESSAGE,
    MAX_PATH,
    Code,
    error_of,
    failure,
    failure_of,
    handler_failure,
    through,
)
from macula_actors.core.wire.decoder import decode
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Failure, Reply
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteCallError,
    RemoteProtocolError,
    SelfDialError,
)

PATH = (b"\x01" * 32, b"\x02" * 32)
TEXTS = st.text(max_size=8) | st.text(min_size=1, max_size=2).map(lambda text: text * 1500)


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError


def at_the_caller(failed):
    return error_of(failed, procedure="add", peer="node 01", timeout=5.0, max_hops=10)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallTimeoutError("node", 1.0), Code.TIMEOUT),
        (OverloadedError("calls", 3), Code.OVERLOADED),
        (NoRouteError("node"), Code.NO_ROUTE),
        (MaxHopsExceededError(10), Code.MAX_HOPS_EXCEEDED),
        (NoProviderError("add"), Code.NO_PROVIDER),
        (ConnectionLostError("network", 0), Code.UNAVAILABLE),
        (SelfDialError(), Code.UNAVAILABLE),
        (RefusedError("not_permitted", "no session"), Code.NOT_PERMITTED),
        (RefusedError("something", "else"), Code.UNAVAILABLE),
        (RemoteProtocolError("bad_args", "no value"), Code.BAD_ARGS),
        (RemoteProtocolError("unknown_type", "7"), Code.UNAVAILABLE),
        (LocalProtocolError("bad_value", "a set"), Code.HANDLER_ERROR),
        (RemoteCallError("no_handler", "add"), Code.NO_HANDLER),
        (ZeroDivisionError(), Code.HANDLER_ERROR),
    ],
)
def test_each_error_of_the_mesh_has_its_code(error, code):
    assert failure_of(error).code == code


def test_an_exception_is_a_handler_error_that_says_what_it_was():
    assert failure_of(ValueError("no such item"), PATH) == Failure(
        code="handler_error", message="ValueError: no such item", path=PATH
    )


def test_an_exception_that_cannot_say_what_it_is_is_a_handler_error_too():
    failed = failure_of(SpeechlessError())

    assert failed.code == Code.HANDLER_ERROR
    assert failed.message.startswith("SpeechlessError: <")


def test_a_handlers_own_refusal_keeps_its_code_and_message():
    for make in (failure_of, handler_failure):
        assert make(RemoteCallError("sold_out", "try tomorrow"), PATH) == Failure(
            code="sold_out", message="try tomorrow", path=PATH
        )


@pytest.mark.parametrize("error", [CallTimeoutError("db", 1.0), *(RemoteCallError(code, "") for code in ELSEWHERE)])
def test_a_handler_never_makes_the_caller_try_another_provider(error):
    failed = handler_failure(error, PATH)

    assert (failed.code, failed.path) == (Code.HANDLER_ERROR, PATH)
    assert failed.message == f"{type(error).__name__}: {error}"


def test_a_handler_that_leaves_the_program_has_failed():
    assert handler_failure(SystemExit(3)) == Failure(code="handler_error", message="SystemExit: 3", path=())


def test_what_goes_out_is_cut_to_what_the_wire_carries():
    failed = failure("c" * 256, "m" * 5000, [bytes([number % 256]) for number in range(300)])

    assert (failed.code, len(failed.message), len(failed.path)) == (Code.HANDLER_ERROR, MAX_MESSAGE, MAX_PATH)
    assert failed.path[0] == b"\x00"


@given(TEXTS, TEXTS)
@example("\ud800", "no text that UTF-8 carries: \ud800")
@example(404, {"item": 7})
def test_whatever_a_handler_raises_can_be_sent(code, message):
    for error in (RemoteCallError(code, message), ValueError(code, message)):
        reply = Reply(call_id=bytes(16), error=handler_failure(error, PATH))

        assert decode(encode(reply)) == reply


def test_a_node_that_passes_a_failure_back_puts_itself_before_the_others():
    assert through(Failure(code="timeout", message="late", path=PATH), b"\x07") == Failure(
        code="timeout", message="late", path=(b"\x07", *PATH)
    )
    assert through(Failure(code="timeout", message="late"), b"\x07").path == (b"\x07",)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (Code.TIMEOUT, "no answer from node 01 within 5 s"),
        (Code.OVERLOADED, "the peer has no room: why"),
        (Code.NO_ROUTE, "no route to node 01: routed: no_route: why"),
        (Code.MAX_HOPS_EXCEEDED, "not there after 10 hops: 01010101 > 02020202"),
        (Code.NO_PROVIDER, "no node provides 'add'"),
        (Code.BAD_ARGS, "bad_args: why"),
    ],
)
def test_the_caller_gets_the_error_for_the_code(code, shown):
    assert str(at_the_caller(Failure(code=code, message="why", path=PATH))) == shown


@pytest.mark.parametrize("code", [*Code, "sold_out"])
def test_an_error_at_the_caller_has_the_code_and_the_path_of_the_failure(code):
    again = failure_of(at_the_caller(Failure(code=code, message="why", path=PATH)))

    assert (again.code, again.path) == (code, PATH)


def test_an_error_without_a_path_of_its_own_has_the_failure_as_its_cause():
    error = at_the_caller(Failure(code="timeout", message="why", path=PATH))

    assert isinstance(error.__cause__, RemoteCallError)
    assert (error.__cause__.code, error.__cause__.message, error.__cause__.path) == ("timeout", "why", PATH)


def test_a_failure_from_v08_has_no_path():
    error = at_the_caller(Failure(code="handler_error", message="m" * 4000))

    assert isinstance(error, RemoteCallError)
    assert (error.path, len(error.message)) == ((), MAX_MESSAGE)
