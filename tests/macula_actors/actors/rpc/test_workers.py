"""The books of who does what."""

import pytest

from macula_actors.actors.rpc.jobs import Invoke, Job
from macula_actors.actors.rpc.workers import Workers
from macula_actors.core.wire.messages import Call


class Worker:
    """As much of a ref as the books look at."""

    def __init__(self, *, lives=True):
        self.lives = lives

    def is_alive(self):
        return self.lives


def a_job(number=1, deadline=5.0):
    call = Call(procedure="test", args=b"", call_id=bytes([number]) * 16)
    return Job((None, call.call_id), Invoke(call, deadline, json=False), None)


@pytest.fixture
def workers():
    return Workers(max_workers=2, max_queued=1)


def test_the_worker_that_was_idle_last_is_taken_first(workers):
    first, second = Worker(), Worker()
    workers.add(first)
    workers.add(second)

    assert [workers.take(), workers.take(), workers.take()] == [second, first, None]


def test_a_worker_that_has_ended_is_not_taken(workers):
    workers.add(Worker(lives=False))

    assert workers.take() is None


def test_a_worker_is_missing_for_each_call_that_waits_as_far_as_there_may_be_more(workers):
    assert workers.missing() == 0
    for number in range(3):
        workers.enqueue(a_job(number))
    assert workers.missing() == 2

    workers.starting = 1
    assert workers.missing() == 1

    workers.assign(Worker(), a_job(4))
    assert workers.missing() == 0


def test_calls_for_which_workers_can_be_started_do_not_count_as_waiting(workers):
    workers.enqueue(a_job(1))
    workers.enqueue(a_job(2))
    assert not workers.is_full

    workers.enqueue(a_job(3))

    assert workers.is_full


def test_calls_are_done_in_the_order_in_which_they_came(workers):
    jobs = [a_job(1), a_job(2)]
    for job in jobs:
        workers.enqueue(job)

    assert [workers.pop(), workers.pop(), workers.pop()] == [*jobs, None]


def test_what_a_worker_says_of_an_earlier_call_is_no_news(workers):
    worker, job = Worker(), a_job()
    workers.assign(worker, job)

    assert not workers.finished(worker, a_job())
    assert not workers.finished(worker, None)
    assert workers.finished(worker, job)
    assert not workers.finished(worker, job)
    assert (workers.busy, workers.idle) == (0, 1)


def test_whatever_a_worker_says_that_was_taken_over_it_is_idle(workers):
    worker = Worker()
    workers.adopt(worker, None)
    workers.adopt(worker, None)
    assert workers.busy == 1

    assert workers.finished(worker, a_job())
    assert (workers.busy, workers.idle) == (0, 1)


def test_a_call_that_was_taken_over_with_its_worker_can_be_cancelled(workers):
    worker, job = Worker(), a_job()

    workers.adopt(worker, job)

    assert workers.cancel(job.key).worker is worker


def test_a_call_that_waits_is_cancelled_without_a_worker(workers):
    job = a_job()
    workers.enqueue(job)

    assert workers.cancel(job.key) is job
    assert (job.worker, workers.queued, workers.cancel(job.key)) == (None, 0, None)


def test_a_worker_whose_call_is_cancelled_does_nothing_more(workers):
    worker, job = Worker(), a_job()
    workers.assign(worker, job)

    assert workers.cancel(job.key).worker is worker
    assert not workers.finished(worker, job)
    assert workers.take() is None

    workers.remove(worker)
    assert workers.busy == 0


def test_of_two_calls_with_one_id_the_later_one_is_cancelled(workers):
    first, second = a_job(), a_job()
    one, other = Worker(), Worker()
    workers.assign(one, first)
    workers.assign(other, second)
    workers.finished(one, first)

    assert workers.cancel(second.key) is second


def test_what_waits_is_overdue_at_its_deadline_and_what_is_done_some_time_later(workers):
    waiting, done = a_job(1), a_job(2)
    workers.enqueue(waiting)
    workers.assign(Worker(), done)

    assert workers.overdue(4.9, grace=1.0) == []
    assert workers.overdue(5.0, grace=1.0) == [waiting]
    assert workers.overdue(6.0, grace=1.0) == [done]
    assert workers.overdue(9.0, grace=1.0) == []


def test_a_worker_that_has_ended_is_forgotten_with_its_call(workers):
    worker, idle, job = Worker(), Worker(), a_job()
    workers.assign(worker, job)
    workers.add(idle)

    workers.remove(worker)
    workers.remove(idle)
    workers.remove(Worker())

    assert (workers.busy, workers.idle, workers.cancel(job.key)) == (0, 0, None)
