"""Blocking work under supervision: a `pykka.ThreadingActor` as a child."""

import asyncio
import threading

import pykka
import pytest
from loguru import logger

from supervisors import (
    ChildSpecError,
    Crashed,
    GenServer,
    Kill,
    Killed,
    Normal,
    OverloadedError,
    Reply,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Supervisor,
    exit_signal,
    stop,
    terminate_child,
)
from supervisors.testing import wait_until
from supervisors.thread_actor import child_spec
from tests.support import kill, refs, supervise

pytestmark = pytest.mark.real_clock

PATIENCE = 5.0  # s; for a thread to do what a test waits for


class Thread(pykka.ThreadingActor):
    """Calls what it is sent with itself, or echoes it; writes its hooks into ``log``."""

    def __init__(self, log=None, on_start=None):
        super().__init__()
        self.log = [] if log is None else log
        self.starting = on_start or nothing

    def on_start(self):
        self.thread = threading.current_thread()
        self.starting()

    def on_stop(self):
        self.log.append("stopped")

    def on_failure(self, _kind, error, _traceback):
        self.log.append(error)

    def on_receive(self, message):
        return message(self) if callable(message) else ("echo", message)

    def add(self, one, other):
        return one + other

    def fail(self):
        raise Failure


class Gate:
    """What a thread waits at until it is opened."""

    def __init__(self):
        self._arrived = threading.Event()
        self._opened = threading.Event()

    def __call__(self, actor=None):
        self._arrived.set()
        assert self._opened.wait(PATIENCE)
        return "through"

    def open(self):
        self._opened.set()

    async def reached(self):
        await asyncio.to_thread(self._arrived.wait, PATIENCE)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def reports():
    found = []
    logger.enable("supervisors")
    sink = logger.add(lambda message: found.append(message.record["extra"]), format="{message}")
    yield found
    logger.remove(sink)
    logger.disable("supervisors")


class Failure(Exception):
    """What the threads of these tests raise; one is as good as another."""

    def __eq__(self, other):
        return isinstance(other, Failure)

    __hash__ = None


def nothing(*_args):
    pass


def fail(_actor=None):
    raise Failure


async def threaded(system, *args, **spec):
    """Start a `Thread` below a supervisor; return both refs."""
    sup = await supervise(system, [child_spec(Thread, *args, id="thread", **spec)])
    return sup, (await refs(sup))["thread"]


async def joined(thread):
    """Wait until ``thread`` has ended."""
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


# Messages


async def test_call_is_answered_by_on_receive(system):
    _, ref = await threaded(system)

    assert await ref.call("hello") == ("echo", "hello")


async def test_messages_are_handled_in_a_thread_of_its_own(system):
    _, ref = await threaded(system)

    assert await ref.call(lambda _: threading.current_thread()) not in {threading.main_thread(), None}


async def test_loop_goes_on_while_the_thread_works(system, gate):
    _, busy = await threaded(system)
    _, free = await threaded(system)
    call = asyncio.create_task(busy.call(gate))
    await gate.reached()

    assert await free.call("hello") == ("echo", "hello")

    gate.open()
    assert await call == "through"


async def test_calls_cast_and_info_reach_on_receive_in_order(system):
    log = []
    _, ref = await threaded(system)

    first = asyncio.create_task(ref.call(lambda _: log.append("call")))
    await asyncio.sleep(0)
    ref.cast(lambda _: log.append("cast"))
    ref.send(lambda _: log.append("info"))
    ref.tell(lambda _: log.append("tell"))
    await ref.ask(lambda _: log.append("ask"), block=False)
    await first

    assert log == ["call", "cast", "info", "tell", "ask"]


async def test_what_a_call_raises_goes_to_the_caller_and_the_thread_lives(system):
    _, ref = await threaded(system)

    with pytest.raises(Failure):
        await ref.call(fail)

    assert await ref.call("still there") == ("echo", "still there")


async def test_call_that_waits_for_another_dead_actor_gets_its_error(system):
    dead = Thread.start()
    await asyncio.to_thread(dead.stop)
    _, ref = await threaded(system)

    with pytest.raises(pykka.ActorDeadError):
        await ref.call(lambda _: dead.ask("anything"))


async def test_late_answer_is_dropped(system, gate):
    _, ref = await threaded(system)
    with pytest.raises(TimeoutError):
        await ref.call(gate, timeout=0.01)
    gate.open()

    assert await ref.call("next") == ("echo", "next")


async def test_full_mailbox_refuses_calls_and_asks(system, gate):
    sup = await supervise(system, [child_spec(Bounded, id="thread")])
    ref = (await refs(sup))["thread"]
    call = asyncio.create_task(ref.call(gate))
    await gate.reached()
    ref.cast("one")
    ref.cast("two")
    await wait_until(lambda: ref._process.mailbox_length == 2)

    with pytest.raises(OverloadedError):
        await ref.call("three")
    with pytest.raises(OverloadedError):
        await ref.ask("three", block=False)

    gate.open()
    assert await call == "through"


class Bounded(Thread):
    max_mailbox = 2


async def test_messages_that_wait_for_the_thread_are_seen_in_the_tree(system, gate):
    _, ref = await threaded(system)
    ref.cast(gate)
    await gate.reached()
    for _ in range(3):
        ref.cast("one")

    assert system.tree().children[0].children[0].mailbox == 3

    gate.open()


# Pykka's messages


async def test_proxy_reads_the_actor(system):
    _, ref = await threaded(system, ["logged"])

    assert await ref.proxy().log == ["logged"]


async def test_proxy_calls_a_method_in_the_thread(system):
    _, ref = await threaded(system)

    assert await ref.proxy().add(1, other=2) == 3


async def test_what_a_proxied_method_raises_goes_to_the_caller(system):
    _, ref = await threaded(system)

    with pytest.raises(Failure):
        await ref.proxy().fail()

    assert ref.is_alive()


async def test_deferred_method_that_raises_ends_the_thread(system):
    _, ref = await threaded(system)
    ref.proxy().fail.defer()

    assert await ref.wait_exit() == Crashed(Failure())


async def test_proxy_sets_an_attribute_from_a_thread(system):
    _, ref = await threaded(system)
    proxy = ref.proxy()
    await asyncio.to_thread(setattr, proxy, "color", "red")

    assert await proxy.color == "red"


async def test_pykkas_stop_ends_it_as_normal(system):
    log = []
    _, ref = await threaded(system, log, restart=Restart.TEMPORARY)

    assert await ref.stop(block=False)
    assert ref.exit_reason == Normal()
    assert log == ["stopped"]


async def test_thread_can_ask_a_process(system):
    counter = await system.start(Counter)
    _, ref = await threaded(system)

    assert await ref.call(lambda _: counter.ask("any")) == 1


class Counter(GenServer):
    def handle_call(self, request, from_):
        return Reply(1)


# Start


async def test_start_waits_for_on_start(system):
    def late():
        log.append("started")

    log = []
    await threaded(system, log, late)

    assert log == ["started"]


async def test_loop_goes_on_during_on_start(system, gate):
    starting = asyncio.create_task(threaded(system, [], gate))
    await gate.reached()
    sup = await supervise(system, [])

    assert not starting.done()

    gate.open()
    await starting
    assert sup.is_alive()


async def test_error_in_on_start_fails_the_start(system):
    with pytest.raises(StartError) as caught:
        await threaded(system, [], fail)

    assert caught.value.reason.detail.reason == Crashed(Failure())


async def test_error_in_the_constructor_fails_the_start(system):
    with pytest.raises(StartError) as caught:
        await threaded(system, "one", "two", "three")

    assert isinstance(caught.value.reason.detail.reason.error, TypeError)


async def test_thread_that_ends_during_on_start_fails_the_start(system):
    with pytest.raises(StartError) as caught:
        await threaded(system, [], raise_exit)

    assert isinstance(caught.value.reason.detail.reason.error, SystemExit)


def raise_exit(_actor=None):
    raise SystemExit(1)


async def test_actor_that_stops_itself_in_on_start_has_started(system):
    _, ref = await threaded(system, [], lambda: pykka.ActorRegistry.get_by_class(Thread)[-1].stop(block=False))

    assert await ref.wait_exit() == Normal()


# End


async def test_thread_that_dies_of_an_exception_is_crashed_and_restarted(system):
    sup, ref = await threaded(system)
    ref.cast(fail)

    assert await ref.wait_exit() == Crashed(Failure())
    await wait_until(lambda: system.tree().children[0].children[0].restarts == 1)
    assert await (await refs(sup))["thread"].call("again") == ("echo", "again")


async def test_on_failure_sees_the_exception(system):
    log = []
    _, ref = await threaded(system, log, restart=Restart.TEMPORARY)
    ref.cast(fail)
    await ref.wait_exit()

    assert log == [Failure()]


async def test_calls_that_wait_when_the_thread_dies_fail_with_its_reason(system, gate):
    _, ref = await threaded(system)
    ref.cast(lambda actor: (gate(), fail()))
    await gate.reached()
    waiting = asyncio.create_task(ref.call("never handled"))
    asked = ref.ask("never handled either", block=False)
    await wait_until(lambda: ref._process.mailbox_length == 2)
    gate.open()

    with pytest.raises(ServerDownError) as caught:
        await waiting
    with pytest.raises(pykka.ActorDeadError):
        await asked
    assert caught.value.reason == Crashed(Failure())


async def test_system_exit_in_the_thread_is_a_crash(system):
    _, ref = await threaded(system)
    ref.cast(raise_exit)

    assert isinstance((await ref.wait_exit()).error, SystemExit)


async def test_thread_that_stops_by_itself_has_ended_normally(system):
    sup, ref = await threaded(system, restart=Restart.TRANSIENT)
    ref.cast(lambda actor: actor.stop())

    assert await ref.wait_exit() == Normal()
    assert (await refs(sup))["thread"] is None


async def test_supervisor_stops_the_thread_after_the_messages_it_has(system):
    log = []
    sup, ref = await threaded(system, log)
    for number in range(3):
        ref.cast(lambda _, number=number: log.append(number))
    await terminate_child(sup, "thread")

    assert log == [0, 1, 2, "stopped"]
    assert ref.exit_reason == Shutdown()


async def test_error_in_on_stop_is_the_exit_reason(system):
    sup = await supervise(system, [child_spec(FailsToStop, id="thread")])
    ref = (await refs(sup))["thread"]
    await terminate_child(sup, "thread")

    assert ref.exit_reason == Crashed(Failure())


class FailsToStop(Thread):
    def on_stop(self):
        raise Failure


async def test_thread_that_takes_too_long_to_stop_is_abandoned_and_reported(system, gate, reports):
    log = []
    sup, ref = await threaded(system, log, shutdown=0.01)
    thread = await ref.proxy().thread
    ref.cast(gate)
    await gate.reached()
    await terminate_child(sup, "thread")

    assert ref.exit_reason == Killed()
    assert thread.is_alive()
    assert [report["process"] for report in reports if report["report"] == "abandoned"] == [str(ref)]


async def test_abandoned_thread_ends_after_its_message_without_its_hooks(system, gate):
    log = []
    _, ref = await threaded(system, log, restart=Restart.TEMPORARY)
    thread = await ref.proxy().thread
    ref.cast(gate)
    ref.cast(lambda _: log.append("next"))
    await gate.reached()
    await kill(ref)
    gate.open()
    await joined(thread)

    assert log == []


class Noting(Thread):
    def on_receive(self, message):
        self.log.append(message)


async def test_killed_thread_that_waits_for_a_message_ends_at_once(system):
    log = []
    sup = await supervise(system, [child_spec(Noting, log, id="thread", restart=Restart.TEMPORARY)])
    ref = (await refs(sup))["thread"]
    thread = await ref.proxy().thread
    await kill(ref)
    await joined(thread)

    assert log == []


async def test_caller_of_a_killed_thread_does_not_wait_for_it(system, gate):
    _, ref = await threaded(system, restart=Restart.TEMPORARY)
    call = asyncio.create_task(ref.call(gate))
    await gate.reached()
    exit_signal(ref, Kill())

    with pytest.raises(ServerDownError) as caught:
        await call
    assert caught.value.reason == Killed()


async def test_thread_killed_during_on_start_is_abandoned(system, gate, reports):
    starting = asyncio.create_task(threaded(system, [], gate))
    await gate.reached()
    exit_signal(system.processes[-1].ref, Kill())

    with pytest.raises(StartError):
        await starting
    assert "abandoned" in [report["report"] for report in reports]


async def test_thread_is_a_daemon_for_it_may_be_abandoned(system):
    _, ref = await threaded(system)

    assert (await ref.proxy().thread).daemon


async def test_exit_signal_stops_the_thread_as_its_supervisor_would(system):
    log = []
    _, ref = await threaded(system, log, restart=Restart.TEMPORARY)
    exit_signal(ref, Shutdown("enough"))

    assert await ref.wait_exit() == Shutdown("enough")
    assert log == ["stopped"]


async def test_normal_exit_signal_is_harmless(system):
    _, ref = await threaded(system)
    exit_signal(ref, Normal())

    assert await ref.call("hello") == ("echo", "hello")


async def test_stop_ends_the_thread_with_its_reason(system):
    log = []
    _, ref = await threaded(system, log, restart=Restart.TEMPORARY)
    await stop(ref, Shutdown("done"))

    assert ref.exit_reason == Shutdown("done")
    assert log == ["stopped"]


# Pykka's registry


async def test_supervised_thread_is_in_pykkas_registry(system):
    await threaded(system)

    (found,) = pykka.ActorRegistry.get_by_class_name("Thread")

    assert pykka.ActorRegistry.get_by_class(Thread) == [found]


async def test_ended_thread_is_not_in_pykkas_registry(system):
    sup, _ = await threaded(system)
    await terminate_child(sup, "thread")

    assert pykka.ActorRegistry.get_by_class(Thread) == []


async def test_abandoned_thread_is_not_in_pykkas_registry(system, gate):
    _, ref = await threaded(system, restart=Restart.TEMPORARY)
    ref.cast(gate)
    await gate.reached()
    await kill(ref)

    assert pykka.ActorRegistry.get_by_class(Thread) == []


async def test_thread_stopped_by_pykkas_registry_has_ended_normally(system):
    _, ref = await threaded(system, restart=Restart.TRANSIENT)
    pykka.ActorRegistry.stop_all(block=False)

    assert await ref.wait_exit() == Normal()


# The spec


def test_spec_of_a_thread_is_named_for_its_class():
    spec = child_spec(Thread)

    assert (spec.id, spec.modules) == ("Thread", (Thread,))


def test_spec_of_a_server_is_its_own():
    spec = child_spec(Counter, name="counter", restart=Restart.TRANSIENT)

    assert (spec.id, spec.restart, spec.modules) == ("counter", Restart.TRANSIENT, (Counter,))


def test_spec_of_a_supervisor_is_its_own():
    assert child_spec(Supervisor).type == "supervisor"


def test_other_classes_have_no_spec():
    with pytest.raises(TypeError, match="not int"):
        child_spec(int)


def test_spec_is_checked():
    with pytest.raises(ChildSpecError):
        child_spec(Thread, shutdown=-1)


async def test_ref_of_a_thread_shows_its_class(system):
    _, ref = await threaded(system)

    assert issubclass(ref.actor_class, Thread)
    assert str(ref) == "Thread#2"
