from macula_actors.simulation.trace import Trace

HERE, THERE = ("10.0.0.1", 1), ("10.0.0.2", 2)


def digest(*events, contents=False):
    trace = Trace(contents=contents)
    for event in events:
        trace.add(*event)
    return trace.digest()


def test_equal_traces_have_equal_digests():
    events = [(float(number), "sent", HERE, THERE, b"data") for number in range(2000)]

    assert digest(*events) == digest(*events)


def test_whatever_differs_is_seen_in_the_digest():
    events = [
        (1.0, "sent", HERE, THERE, b"data"),
        (2.0, "sent", HERE, THERE, b"data"),
        (1.0, "cut", HERE, THERE, b"data"),
        (1.0, "sent", THERE, THERE, b"data"),
        (1.0, "sent", HERE, HERE, b"data"),
        (1.0, "sent", HERE, THERE, b"longer"),
    ]

    assert len({digest(event) for event in events}) == len(events)


def test_contents_are_compared_if_asked_for():
    one, other = (1.0, "sent", HERE, THERE, b"aaaa"), (1.0, "sent", HERE, THERE, b"bbbb")

    assert digest(one) == digest(other)
    assert digest(one, contents=True) != digest(other, contents=True)


def test_a_digest_may_be_asked_for_at_any_time():
    trace = Trace()
    trace.add(1.0, "sent", HERE, THERE, b"")
    trace.digest()
    trace.add(2.0, "sent", HERE, THERE, b"")

    assert trace.digest() == digest((1.0, "sent", HERE, THERE, b""), (2.0, "sent", HERE, THERE, b""))


def test_the_last_records_are_kept_and_no_more():
    trace = Trace(max_records=2)
    for number in range(5):
        trace.add(float(number), "sent", HERE, THERE, b"data")

    assert [record.at for record in trace.records] == [3.0, 4.0]
    assert trace.records[0] == (3.0, "sent", HERE, THERE, 4, 0)
