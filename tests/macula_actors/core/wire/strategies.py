"""Messages and values of every shape, made from the kinds of their fields."""

from dataclasses import fields
from functools import partial, singledispatch

from hypothesis import strategies as st

from macula_actors.core.wire import messages
from macula_actors.core.wire.fields import AnyValue, Boolean, Choice, Integer, ListOf, Octets, Record, Text

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts | st.binary()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.binary(), inner, max_size=4)
)


@singledispatch
def of_kind(kind):
    """Return the strategy of what a field of ``kind`` holds."""
    raise NotImplementedError(kind)


@of_kind.register
def _(kind: Integer):
    return st.integers(kind.low, kind.high)


@of_kind.register
def _(_kind: Boolean):
    return st.booleans()


@of_kind.register
def _(kind: Octets):
    return st.binary(min_size=kind.low, max_size=min(kind.high, 64))


@of_kind.register
def _(kind: Text):
    return texts.filter(lambda text: kind.low <= len(text.encode()) <= kind.high)


@of_kind.register
def _(kind: Choice):
    return st.sampled_from(str(kind).removeprefix("one of ").split(", "))


@of_kind.register
def _(kind: ListOf):
    return st.lists(of_kind(kind.kind), max_size=3).map(tuple)


@of_kind.register
def _(kind: Record):
    return st.one_of(*map(of_class, kind._classes))


@of_kind.register
def _(_kind: AnyValue):
    return values.filter(lambda value: value is not None)


def of_class(cls):
    """Return the strategy of instances of ``cls``."""
    return SPECIAL.get(cls, partial(with_any_fields, cls))()


def with_any_fields(cls, **special):
    drawn = {field.name: of_field(field) for field in fields(cls) if field.name not in special}
    return st.builds(cls, **drawn, **special)


def of_field(field):
    kind = of_kind(field.type.__metadata__[0])
    return kind if field.default is not None else st.none() | kind


def replies():
    return with_any_fields(messages.Reply, result=st.none()) | with_any_fields(messages.Reply, error=st.none())


def rpc_routes():
    route = partial(with_any_fields, messages.RpcRoute)
    return route(payload_type=st.just("call"), payload=of_class(messages.Call)) | route(
        payload_type=st.just("reply"), payload=of_class(messages.Reply)
    )


def find_value_replies():
    found = of_kind(ListOf(AnyValue(), 3))
    nodes = of_kind(ListOf(Record(messages.NodeInfo), 3))
    reply = partial(with_any_fields, messages.FindValueReply)
    return reply(result=st.just("value"), value=found) | reply(result=st.just("nodes"), nodes=nodes)


SPECIAL = {
    messages.Reply: replies,
    messages.RpcRoute: rpc_routes,
    messages.FindValueReply: find_value_replies,
}
any_message = st.one_of(*map(of_class, messages.CLASSES.values()))
