"""Processes are Pykka's actors: what holds for a `pykka.ThreadingActor` holds for a `GenServer`.

The tests that take ``kind`` run against both. They wait in threads, as Pykka's users do, and so in real time.
"""

import asyncio
import gc
import operator
import threading

import pykka
import pytest

from supervisors import BlockingCallError, Crashed, GenServer, NoCurrentProcessError, Normal, Reply, Shutdown
from supervisors.testing import wait_until
from tests.support import kill, refs, supervise

pytestmark = pytest.mark.real_clock

PATIENCE = 5.0  # s


class Failure(Exception):
    pass


class Playback:
    pykka_traversable = True

    def __init__(self):
        self.volume = 3

    def louder(self, by):
        self.volume += by
        return self.volume


class Greeter:
    """A Pykka actor: its own ``__init__``, ``on_receive``, attributes, methods and hooks."""

    kind_of_thing = "actor"

    def __init__(self, greeting, log=None):
        super().__init__()
        self.greeting = greeting
        self.log = log if log is not None else []
        self.playback = Playback()
        self._private = "private"

    def on_start(self):
        self.log.append("start")

    def on_stop(self):
        self.log.append("stop")

    def on_failure(self, kind, error, traceback):
        self.log.append((kind, error.args, traceback is not None))

    def on_receive(self, message):
        if isinstance(message, Exception):
            raise message
        if callable(message):
            return message(self)
        return f"{self.greeting}, {message}"

    def greet(self, whom, *, mark="!"):
        return f"{self.greeting}, {whom}{mark}"

    def fail(self):
        raise Failure("method")

    def note(self, what):
        self.log.append(what)

    def stop_yourself(self):
        self.stop()
        return "stopping"


class Threaded(Greeter, pykka.ThreadingActor):
    pass


class Looped(Greeter, GenServer):
    async def greet_later(self, whom):
        await asyncio.sleep(0)
        return self.greet(whom)


@pytest.fixture(params=[Threaded, Looped])
def kind(request):
    return request.param


async def in_thread(function, *args, **kwargs):
    """Return ``function(*args, **kwargs)``, which may block."""
    return await asyncio.wait_for(asyncio.to_thread(function, *args, **kwargs), PATIENCE)


async def ended(ref):
    """Wait until the actor has ended."""
    assert await in_thread(ref.actor_stopped.wait, PATIENCE)
    await wait_until(lambda: not ref.is_alive())


# Start and registry


async def test_started_actor_is_alive_and_in_the_registry(system, kind):
    ref = kind.start("Hello")

    assert ref.is_alive()
    assert pykka.ActorRegistry.get_all() == [ref]
    await in_thread(ref.stop)


async def test_actor_starts_from_a_thread_too(system, kind):
    ref = await in_thread(kind.start, "Hello")

    assert await in_thread(ref.ask, "you") == "Hello, you"
    await in_thread(ref.stop)


async def test_ref_of_an_actor_started_in_a_thread_can_be_called_there_at_once(system):
    def started_and_called():
        ref = Counter.start()
        return asyncio.run(ref.call("count"))

    assert await in_thread(started_and_called) == 1


async def test_thread_outside_any_system_cannot_start_a_process():
    caught = []

    def attempt():
        with pytest.raises(NoCurrentProcessError) as error:
            Counter.start()
        caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    await in_thread(thread.join)

    assert caught
    assert pykka.ActorRegistry.get_all() == []


async def test_registry_finds_actors_by_class_class_name_and_urn(system, kind):
    ref = kind.start("Hello")

    assert pykka.ActorRegistry.get_by_class(Greeter) == [ref]
    assert pykka.ActorRegistry.get_by_class_name(kind.__name__) == [ref]
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
    await in_thread(ref.stop)


async def test_registry_broadcasts(system, kind):
    refs = [kind.start("Hello") for _ in range(3)]
    pykka.ActorRegistry.broadcast(lambda actor: actor.log.append("heard"), kind)

    assert [await in_thread(ref.ask, lambda actor: actor.log[-1]) for ref in refs] == ["heard"] * 3
    await in_thread(pykka.ActorRegistry.stop_all)


async def test_stop_all_stops_all(system, kind):
    refs = [kind.start("Hello") for _ in range(3)]

    assert await in_thread(pykka.ActorRegistry.stop_all) == [True, True, True]
    assert [ref.is_alive() for ref in refs] == [False] * 3


async def test_stop_all_without_blocking_works_on_the_loop(system):
    refs = [Looped.start("Hello") for _ in range(3)]

    futures = pykka.ActorRegistry.stop_all(block=False)

    assert await asyncio.gather(*futures) == [True, True, True]
    assert [ref.exit_reason for ref in refs] == [Normal()] * 3


async def test_ended_actor_is_not_in_the_registry(system, kind):
    ref = kind.start("Hello")
    await in_thread(ref.stop)

    assert pykka.ActorRegistry.get_all() == []


async def test_failed_actor_is_not_in_the_registry(system, kind):
    ref = kind.start("Hello")
    ref.tell(Failure())
    await ended(ref)

    assert pykka.ActorRegistry.get_all() == []


async def test_killed_process_is_not_in_the_registry(system):
    ref = Looped.start("Hello")
    await kill(ref)

    assert pykka.ActorRegistry.get_all() == []


async def test_process_started_the_otp_way_is_not_in_the_registry(system):
    await system.start(Counter)

    assert pykka.ActorRegistry.get_all() == []


async def test_actor_started_the_pykka_way_stops_with_its_system(system):
    log = []
    ref = Looped.start("Hello", log)
    await in_thread(ref.ask, "you")
    await system.stop()

    assert ref.exit_reason == Shutdown()
    assert pykka.ActorRegistry.get_all() == []


async def test_actor_class_is_told(system, kind):
    ref = kind.start("Hello")

    assert ref.actor_class is kind
    await in_thread(ref.stop)


async def test_actor_knows_its_own_ref_and_urn(system, kind):
    ref = kind.start("Hello")

    assert await in_thread(ref.ask, lambda actor: actor.actor_ref is ref and actor.actor_urn == ref.actor_urn)
    await in_thread(ref.stop)


# Hooks


async def test_on_start_runs_before_the_first_message(system, kind):
    log = []
    ref = kind.start("Hello", log)
    await in_thread(ref.ask, lambda _: log.append("message"))

    assert log == ["start", "message"]
    await in_thread(ref.stop)


async def test_actor_whose_on_start_fails_has_ended(system, kind):
    class Failing(kind):
        def on_start(self):
            raise Failure

    ref = Failing.start("Hello")
    await ended(ref)

    assert not ref.is_alive()


async def test_on_stop_runs_when_it_is_stopped(system, kind):
    log = []
    ref = kind.start("Hello", log)
    await in_thread(ref.stop)

    await wait_until(lambda: log == ["start", "stop"])


async def test_on_failure_runs_instead_of_on_stop_when_a_tell_fails(system, kind):
    log = []
    ref = kind.start("Hello", log)
    ref.tell(Failure("told"))
    await ended(ref)

    await wait_until(lambda: log == ["start", (Failure, ("told",), True)])


async def test_failed_tell_is_the_exit_reason_of_a_process(system):
    ref = Looped.start("Hello")
    error = Failure("told")
    ref.tell(error)

    assert await ref.wait_exit() == Crashed(error)


async def test_hooks_of_a_process_may_be_async(system):
    ref = AsyncHooks.start([])
    log = await ref.ask("log", block=False)
    await ref.stop(block=False)

    assert log == ["start", "stop"]


class AsyncHooks(GenServer):
    def __init__(self, log):
        super().__init__()
        self.log = log

    async def on_start(self):
        await asyncio.sleep(0)
        self.log.append("start")

    async def on_stop(self):
        await asyncio.sleep(0)
        self.log.append("stop")

    async def on_receive(self, message):
        await asyncio.sleep(0)
        return self.log


async def test_hooks_run_in_a_process_with_an_init_that_calls_the_default(system):
    class WithInit(Looped):
        def init(self):
            self.log.append("init")
            return super().init()

    log = []
    await system.start(WithInit, "Hello", log)

    assert log == ["init", "start"]


async def test_pykka_style_actor_can_be_supervised(system):
    sup = await supervise(system, [Looped.child_spec("Hello", id="greeter")])
    ref = (await refs(sup))["greeter"]
    ref.tell(Failure())
    await ref.wait_exit()

    assert await (await refs(sup))["greeter"].ask("you", block=False) == "Hello, you"


# Ask and tell


async def test_ask_in_a_thread_blocks_for_the_answer(system, kind):
    ref = kind.start("Hello")

    assert await in_thread(ref.ask, "you") == "Hello, you"
    await in_thread(ref.stop)


async def test_ask_without_blocking_gives_a_future(system, kind):
    ref = kind.start("Hello")
    future = ref.ask("you", block=False)

    assert await in_thread(future.get) == "Hello, you"
    assert future.get() == "Hello, you"
    await in_thread(ref.stop)


async def test_ask_of_a_process_can_be_awaited(system):
    ref = Looped.start("Hello")

    assert await ref.ask("you", block=False) == "Hello, you"


async def test_answers_come_in_the_order_of_the_asks(system, kind):
    ref = kind.start("Hello")
    futures = [ref.ask(number, block=False) for number in range(5)]

    assert await in_thread(pykka.get_all, futures) == [f"Hello, {number}" for number in range(5)]
    await in_thread(ref.stop)


async def test_what_on_receive_raises_goes_to_who_asked_and_the_actor_lives(system, kind):
    ref = kind.start("Hello")

    with pytest.raises(Failure):
        await in_thread(ref.ask, Failure())

    assert await in_thread(ref.ask, "you") == "Hello, you"
    await in_thread(ref.stop)


async def test_awaited_ask_raises_what_on_receive_did_and_nothing_is_logged(system, caplog):
    ref = Looped.start("Hello")

    with pytest.raises(Failure):
        await ref.ask(Failure(), block=False)
    gc.collect()  # asyncio looks at what was not looked at when it goes

    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize(("kind", "gate_kind"), [(Threaded, threading.Event), (Looped, asyncio.Event)])
async def test_ask_that_takes_too_long_times_out(system, kind, gate_kind):
    ref = kind.start("Hello")
    gate = gate_kind()

    with pytest.raises(pykka.Timeout):
        await in_thread(ref.ask, lambda _: gate.wait(), timeout=0.001)

    gate.set()
    assert await in_thread(ref.ask, "you") == "Hello, you"
    await in_thread(ref.stop)


async def test_blocking_ask_on_the_loop_is_refused_and_not_sent(system):
    log = []
    ref = Looped.start("Hello", log)

    with pytest.raises(BlockingCallError):
        ref.ask(lambda _: log.append("sent"))

    await ref.ask("after", block=False)
    assert log == ["start"]


async def test_blocking_get_on_the_loop_is_refused(system):
    ref = Looped.start("Hello")
    future = ref.ask("you", block=False)

    with pytest.raises(BlockingCallError):
        future.get()

    assert await future == "Hello, you"


async def test_get_of_a_future_that_is_done_works_on_the_loop(system):
    ref = Looped.start("Hello")
    future = ref.ask("you", block=False)
    await future

    assert future.get() == "Hello, you"


async def test_ask_from_inside_another_process_can_be_awaited(system):
    ref = Looped.start("Hello")
    asker = Asking.start(ref)

    assert await asker.ask("you", block=False) == "Hello, you"


class Asking(GenServer):
    def __init__(self, whom):
        super().__init__()
        self.whom = whom

    async def on_receive(self, message):
        return await self.whom.ask(message, block=False)


async def test_unknown_message_passed_to_the_default_on_receive_is_answered_with_none(system):
    class Plain(GenServer):
        def on_receive(self, message):
            return super().on_receive(message)

    ref = Plain.start()

    assert await ref.ask("what", block=False) is None


async def test_ask_of_a_server_without_on_receive_is_a_call(system):
    ref = await system.start(Counter)

    assert await ref.ask("count", block=False) == 1
    assert await ref.call("count") == 2


async def test_tell_of_a_server_without_on_receive_is_a_cast(system):
    ref = await system.start(Counter)
    ref.tell("count")

    assert await ref.call("count") == 2


class Counter(GenServer):
    def init(self):
        self.count = 0

    def handle_call(self, request, from_):
        self.count += 1
        return Reply(self.count)

    def handle_cast(self, request):
        self.count += 1


# Futures


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        (lambda future: future.map(len), 3),
        (lambda future: future.filter(lambda n: n > 1), [2, 3]),
        (lambda future: future.reduce(operator.add), 6),
        (lambda future: future.reduce(operator.add, 10), 16),
        (lambda future: future.join(future), [[1, 2, 3], [1, 2, 3]]),
        (lambda future: future.map(sum).map(str), "6"),
    ],
    ids=["map", "filter", "reduce", "reduce from", "join", "map map"],
)
class TestDerivedFuture:
    async def test_has_in_a_thread_the_value_that_pykkas_has(self, system, kind, derive, expected):
        ref = kind.start("Hello")
        future = derive(ref.ask(lambda _: [1, 2, 3], block=False))

        assert await in_thread(future.get) == expected
        await in_thread(ref.stop)

    async def test_can_be_awaited(self, system, derive, expected):
        ref = Looped.start("Hello")

        assert await derive(ref.ask(lambda _: [1, 2, 3], block=False)) == expected


async def test_derived_future_raises_what_the_actor_did(system, kind):
    ref = kind.start("Hello")
    future = ref.ask(Failure(), block=False).map(str)

    with pytest.raises(Failure):
        await in_thread(future.get)
    await in_thread(ref.stop)


async def test_futures_of_processes_and_threads_are_joined(system):
    looped, threaded = Looped.start("Hello"), Threaded.start("Hello")
    future = looped.ask("you", block=False).join(threaded.ask("me", block=False))

    assert await future == ["Hello, you", "Hello, me"]
    await in_thread(threaded.stop)


async def test_gather_awaits_many_futures(system):
    ref = Looped.start("Hello")

    answers = await asyncio.gather(*(ref.ask(number, block=False) for number in range(3)))

    assert answers == ["Hello, 0", "Hello, 1", "Hello, 2"]


async def test_future_can_be_awaited_again(system):
    future = Looped.start("Hello").ask("you", block=False)

    assert [await future, await future] == ["Hello, you", "Hello, you"]


async def test_giving_up_on_a_future_leaves_it_to_others(system):
    gate = asyncio.Event()
    ref = Looped.start("Hello")
    future = ref.ask(lambda _: gate.wait(), block=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await future
    gate.set()

    assert await future is True


# Proxy


async def test_proxy_reads_attributes_of_class_and_instance(system, kind):
    proxy = kind.start("Hello").proxy()

    assert await in_thread(proxy.greeting.get) == "Hello"
    assert await in_thread(proxy.kind_of_thing.get) == "actor"
    await in_thread(proxy.actor_ref.stop)


async def test_proxy_calls_methods(system, kind):
    proxy = kind.start("Hello").proxy()

    assert await in_thread(proxy.greet("you", mark="?").get) == "Hello, you?"
    await in_thread(proxy.actor_ref.stop)


async def test_proxied_results_of_a_process_can_be_awaited(system):
    proxy = Looped.start("Hello").proxy()

    assert (await proxy.greeting, await proxy.greet("you")) == ("Hello", "Hello, you!")


async def test_proxied_method_of_a_process_may_be_async(system):
    proxy = Looped.start("Hello").proxy()

    assert await proxy.greet_later("you") == "Hello, you!"


async def test_proxy_sets_attributes_in_a_thread(system, kind):
    proxy = kind.start("Hello").proxy()
    await in_thread(setattr, proxy, "greeting", "Bye")

    assert await in_thread(proxy.greet("you").get) == "Bye, you!"
    await in_thread(proxy.actor_ref.stop)


async def test_setting_an_attribute_on_the_loop_is_refused_and_not_done(system):
    proxy = Looped.start("Hello").proxy()

    with pytest.raises(BlockingCallError):
        proxy.greeting = "Bye"

    assert await proxy.greeting == "Hello"


async def test_proxied_method_that_raises_tells_the_caller_and_the_actor_lives(system, kind):
    proxy = kind.start("Hello").proxy()

    with pytest.raises(Failure):
        await in_thread(proxy.fail().get)

    assert await in_thread(proxy.greeting.get) == "Hello"
    await in_thread(proxy.actor_ref.stop)


async def test_deferred_method_gives_no_future(system, kind):
    log = []
    proxy = kind.start("Hello", log).proxy()

    assert proxy.note.defer("noted") is None
    await in_thread(proxy.greeting.get)
    assert log == ["start", "noted"]
    await in_thread(proxy.actor_ref.stop)


async def test_deferred_method_that_raises_ends_the_actor(system, kind):
    log = []
    ref = kind.start("Hello", log)
    ref.proxy().fail.defer()
    await ended(ref)

    await wait_until(lambda: log == ["start", (Failure, ("method",), True)])


async def test_proxy_goes_through_traversable_attributes(system, kind):
    proxy = kind.start("Hello").proxy()

    assert await in_thread(proxy.playback.louder(2).get) == 5
    assert await in_thread(proxy.playback.volume.get) == 5
    await in_thread(proxy.actor_ref.stop)


async def test_proxy_has_no_private_nor_missing_attributes(system, kind):
    proxy = kind.start("Hello").proxy()

    with pytest.raises(AttributeError):
        getattr(proxy, "_private")  # noqa: B009 -- as an expression it would be useless
    with pytest.raises(AttributeError):
        getattr(proxy, "missing")  # noqa: B009
    await in_thread(proxy.actor_ref.stop)


async def test_proxy_of_an_ended_actor_cannot_be_made(system, kind):
    ref = kind.start("Hello")
    await in_thread(ref.stop)

    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


async def test_call_through_a_proxy_of_an_ended_actor_fails(system, kind):
    ref = kind.start("Hello")
    proxy = ref.proxy()
    await in_thread(ref.stop)

    with pytest.raises(pykka.ActorDeadError):
        await in_thread(proxy.greet("you").get)


async def test_proxies_of_one_actor_are_equal(system, kind):
    ref, other = kind.start("Hello"), kind.start("Hello")

    assert ref.proxy() == ref.proxy()
    assert ref.proxy() != other.proxy()
    await in_thread(pykka.ActorRegistry.stop_all)


async def test_actor_can_schedule_work_for_itself_with_a_proxy(system, kind):
    class Cooperative(kind):
        def on_start(self):
            self._later = self.actor_ref.proxy()

        def count_down(self, left):
            self.log.append(left)
            return self._later.count_down(left - 1) and None if left else self.stop()

    log = []
    ref = Cooperative.start("Hello", log)
    ref.proxy().count_down(2)
    await ended(ref)

    assert log[:3] == [2, 1, 0]


# Stop


async def test_stop_tells_whether_the_actor_was_alive(system, kind):
    ref = kind.start("Hello")

    assert [await in_thread(ref.stop), await in_thread(ref.stop)] == [True, False]


async def test_stop_without_blocking_gives_a_future(system, kind):
    ref = kind.start("Hello")

    assert await in_thread(ref.stop(block=False).get) is True
    assert not ref.is_alive()


async def test_stop_comes_after_the_messages_before_it(system, kind):
    log = []
    ref = kind.start("Hello", log)
    for number in range(3):
        ref.tell(lambda _, number=number: log.append(number))
    await in_thread(ref.stop)

    await wait_until(lambda: log == ["start", 0, 1, 2, "stop"])


async def test_messages_after_a_stop_are_answered_with_actor_dead(system, kind):
    ref = kind.start("Hello")
    gate = threading.Event()
    ref.tell(lambda _: gate.wait(PATIENCE))  # so that a thread is not faster than this test
    stopped = ref.stop(block=False)
    asked = ref.ask("you", block=False)
    gate.set()

    with pytest.raises(pykka.ActorDeadError):
        await in_thread(asked.get)
    assert await in_thread(stopped.get) is True


async def test_two_who_stop_an_actor_at_once_have_both_stopped_it(system, kind):
    ref = kind.start("Hello")
    gate = threading.Event()
    ref.tell(lambda _: gate.wait(PATIENCE))  # so that a thread is not faster than this test
    stops = [ref.stop(block=False), ref.stop(block=False)]
    gate.set()

    assert [await in_thread(stop.get) for stop in stops] == [True, True]


async def test_actor_that_stops_itself_answers_first(system, kind):
    ref = kind.start("Hello")

    assert await in_thread(ref.proxy().stop_yourself().get) == "stopping"
    await ended(ref)


async def test_tell_of_an_ended_actor_raises(system, kind):
    ref = kind.start("Hello")
    await in_thread(ref.stop)

    with pytest.raises(pykka.ActorDeadError):
        ref.tell("you")


async def test_ask_of_an_ended_actor_fails(system, kind):
    ref = kind.start("Hello")
    await in_thread(ref.stop)

    with pytest.raises(pykka.ActorDeadError):
        await in_thread(ref.ask, "you")
    with pytest.raises(pykka.ActorDeadError):
        await in_thread(ref.ask("you", block=False).get)


async def test_asks_that_wait_when_a_process_is_killed_fail(system):
    gate = asyncio.Event()
    ref = Looped.start("Hello")
    asked = ref.ask(lambda _: gate.wait(), block=False)
    await asyncio.sleep(0)
    await kill(ref)

    with pytest.raises(pykka.ActorDeadError):
        await asked


async def test_blocking_stop_on_the_loop_is_refused_and_not_sent(system):
    ref = Looped.start("Hello")

    with pytest.raises(BlockingCallError):
        ref.stop()

    assert await ref.ask("you", block=False) == "Hello, you"


async def test_stopped_process_has_ended_normally(system):
    ref = Looped.start("Hello")
    await ref.stop(block=False)

    assert ref.exit_reason == Normal()


async def test_stop_gets_through_to_a_full_mailbox(system):
    class Bounded(Looped):
        max_mailbox = 1

    ref = Bounded.start("Hello")
    ref.tell("one")
    ref.tell("dropped")
    stopped = ref.stop(block=False)

    assert await stopped
    assert ref.exit_reason == Normal()
