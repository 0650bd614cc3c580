import pytest

from macula_actors.core.wire.codec import codec_of
from macula_actors.core.wire.messages import Call, FindValueReply, PubsubRoute, Reply, RpcRoute, Store
from macula_actors.errors import LocalProtocolError


def test_a_class_has_one_codec():
    assert codec_of(Call) is codec_of(Call)


def test_fields_are_written_in_the_order_of_the_class_and_read_back():
    codec, call = codec_of(Call), Call(call_id=bytes(16), realm="r", args=b"1", procedure="p")

    fields = codec.write(call)

    assert list(fields) == [b"procedure", b"args", b"call_id", b"realm"]
    assert codec.read(fields) == call


def test_a_field_that_has_the_name_of_something_in_the_codec_is_read():
    store = Store(key=b"k", value=["v"])

    assert codec_of(Store).read(codec_of(Store).write(store)) == store


@pytest.mark.parametrize(
    ("cls", "is_plain"),
    [(Call, True), (Reply, True), (RpcRoute, True), (PubsubRoute, True), (Store, False), (FindValueReply, False)],
)
def test_only_what_holds_values_of_any_kind_needs_a_second_look(cls, is_plain):
    assert codec_of(cls).is_plain == is_plain


def test_the_first_field_that_is_wrong_is_named():
    with pytest.raises(LocalProtocolError, match=r"Call\.args is not 0 to 4294967295 bytes"):
        codec_of(Call).write(Call(procedure="p", args=1, call_id=b""))
