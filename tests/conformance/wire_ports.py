"""Which of our functions answers for those of the original that make messages and read them."""

from macula_actors.core.wire import MessageType, decode, encode
from macula_actors.core.wire.fields import read, write
from macula_actors.core.wire.frame import first_frame
from macula_actors.core.wire.messages import (
    CLASSES,
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    NodeInfo,
    Store,
)
from macula_actors.core.wire.values import unpack
from macula_actors.errors import RemoteProtocolError
from tests.conformance.erlang_terms import Atom, Chars, Opaque
from tests.conformance.wire_terms import as_original, known

READ_BY = {  # the function that reads a map as one of these
    "decode_find_node": FindNode,
    "decode_find_node_reply": FindNodeReply,
    "decode_store": Store,
    "decode_find_value": FindValue,
    "decode_find_value_reply": FindValueReply,
    "decode_node_info": NodeInfo,
}


class OneMessage:
    """A message of ours, of which ``fields`` were made; equal to the original's term for the same message.

    The order of keys does not matter, nor whether they are atoms, nor fields that the message does not know.
    """

    def __init__(self, message, fields):
        self.message, self.fields = message, fields

    def __eq__(self, other):
        try:
            told = known(self.message, as_original(sent(a_map(other))))
        except (TypeError, ValueError):
            return False
        return as_original(self.fields) == told

    def __hash__(self):
        return hash(self.message)

    def __repr__(self):
        return repr(self.fields)


class OneFrame(bytes):
    """A frame of ours; equal to what the original makes of the same message, whatever the order of the keys is."""

    __slots__ = ()

    def __eq__(self, other):
        try:
            ours, theirs, message = first_frame(self), first_frame(other), decode(other)
        except (RemoteProtocolError, TypeError):
            return False
        told = known(message, as_original(unpack(theirs.payload)))
        return (ours.type_id, as_original(unpack(ours.payload))) == (theirs.type_id, told)

    __hash__ = bytes.__hash__


def type_named(name):
    """Return the type of message that has the label ``name``, an atom.

    Raises:
        ValueError: none has.
    """
    found = [each for each in MessageType if isinstance(name, Atom) and each.label == name]
    if not found:
        raise ValueError(f"{name!r} is no type of message")
    return found[0]


def sent(term):
    """Return ``term`` as the other end has it: atoms are bin, a list of code points is a str.

    Raises:
        ValueError: it has a part that cannot be sent.
    """
    match term:
        case Atom():
            return term.encode()
        case dict():
            return {sent(key): sent(value) for key, value in term.items()}
        case list() | Chars():
            return "".join(map(chr, term)) if all(map(is_code_point, term)) else list(map(sent, term))
        case tuple() | Opaque():
            raise ValueError(f"{term!r} cannot be sent")
        case int() if not -(2**63) <= term < 2**64:
            raise ValueError(f"{term} cannot be sent")
        case _:
            return term


def is_code_point(item):
    return type(item) is int and 0 <= item <= 0x10FFFF and not 0xD800 <= item < 0xE000


def received(term):
    """Return ``term`` as what came over the wire, from where no atom comes.

    Raises:
        ValueError: it has a part that cannot come from there.
    """
    match term:
        case dict():
            items = ((as_key(key), value) for key, value in term.items() if not isinstance(key, Atom))
            return {key: received(value) for key, value in items}
        case list():
            return list(map(received, term))
        case Atom() | tuple() | Opaque():
            raise ValueError(f"{term!r} does not come over the wire")
        case _:
            return term


def as_key(key):
    return "".join(map(chr, key)) if isinstance(key, Chars) and all(map(is_code_point, key)) else key


def a_map(term):
    """Return ``term``.

    Raises:
        ValueError: it is no map.
    """
    if not isinstance(term, dict):
        raise ValueError(f"{term!r} is no map")
    return term


def encode_message(name, fields):
    return OneFrame(encode(read(CLASSES[type_named(name)], sent(a_map(fields)))))


def reading(name, term):
    """Return what `READ_BY` the function ``name`` the map ``term`` is.

    Raises:
        LocalProtocolError: it is something else.
        ValueError: it is no map, or could not have been received.
    """
    return read(READ_BY[name], received(a_map(term)))


def decode_find_node(term):
    return reading("decode_find_node", term).target


def decode_find_node_reply(term):
    return list(map(write, reading("decode_find_node_reply", term).nodes))


def decode_store(term):
    store = reading("decode_store", term)
    return store.key, store.value


def decode_find_value(term):
    return reading("decode_find_value", term).key


def decode_find_value_reply(term):
    reply = reading("decode_find_value_reply", term)
    found = reply.value if reply.result == "value" else map(write, reply.nodes)
    return Atom(reply.result), list(found)


def decode_node_info(term):
    return with_atoms(write(reading("decode_node_info", term)))


def encode_node_info(term):
    return with_atoms(write(read(NodeInfo, sent(a_map(term)))))


def with_atoms(message):
    """Return the fields of ``message`` as the original has them before they are sent: keys and type are atoms."""
    fields = {Atom(key.decode()): value for key, value in message.items()}
    return {key: Atom(value.decode()) if key in {"type", "result"} else value for key, value in fields.items()}


def encode_find_node(target):
    return with_atoms(write(FindNode(target=target)))


def encode_store(key, value):
    return with_atoms(write(Store(key=key, value=value)))


def encode_find_value(key):
    return with_atoms(write(FindValue(key=key)))


def encode_find_node_reply(nodes):
    return nodes_with_atoms(FindNodeReply(nodes=infos(nodes)))


def encode_find_value_reply(found):
    match found:
        case ("value", list(values)):
            return with_atoms(write(FindValueReply(result="value", value=tuple(values))))
        case ("nodes", list(nodes)):
            return nodes_with_atoms(FindValueReply(result="nodes", nodes=infos(nodes)))
        case _:
            raise ValueError(f"{found!r} is neither values nor nodes")


def infos(terms):
    return tuple(read(NodeInfo, sent(a_map(term))) for term in terms)


def nodes_with_atoms(reply):
    return with_atoms(write(reply)) | {Atom("nodes"): [with_atoms(write(each)) for each in reply.nodes]}


def has_type_of(cls, term):
    """Tell whether the field ``type`` of ``term`` is that of ``cls``."""
    kind = next(iter(cls.__dataclass_fields__["type"].type.__metadata__))
    try:
        kind.read(received(a_map(term).get(b"type")))
    except ValueError:
        return False
    return True
