"""Who provides a service, as its record in the DHT says. Erlang: the provider maps of macula_service_registry.

The payload of the record is a map, whose first two fields v0.8 reads::

    endpoint        where the provider can be dialled, "https://host:port"; missing if nowhere
    metadata        a map, the program's own
    gateways        ours: nodes that the provider keeps a session with, each [node id, endpoint]
    advertised_at   seconds since 1970
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.fields import AnyValue, Integer, ListOf, Text, read, write
from macula_actors.core.wire.values import Value
from macula_actors.errors import ProtocolError

__all__ = ["MAX_GATEWAYS", "Provider", "advertisement", "providers_in"]

MAX_GATEWAYS: Final = 4  # that a record names

_MS: Final = 1000  # in a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A node that provides a service.

    Args:
        procedure: what it is called by.
        node_id: the node, which has signed the record.
        endpoint: where it can be dialled; None: it cannot.
        gateways: nodes that can reach it, for a relay.
        metadata: what its program says of it.
        expires_at: until when the record holds, in milliseconds since 1970.
        advertised_at: since when it says what it says, in milliseconds since 1970, of its clock; 0: nobody knows.
    """

    procedure: str
    node_id: NodeId
    endpoint: Endpoint | None = None
    gateways: tuple[Contact, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict, hash=False)
    expires_at: int = 0
    advertised_at: int = 0

    @property
    def contact(self) -> Contact:
        """Whom to dial."""
        return Contact(self.endpoint, self.node_id)


def advertisement(
    endpoint: Endpoint | None, gateways: Iterable[Contact], metadata: Mapping[str, Value], now_ms: int
) -> dict[str | bytes, Value]:
    """Return the payload of a provider's record.

    Args:
        endpoint: where the provider can be dialled; None: nowhere.
        gateways: nodes that it keeps a session with; the first MAX_GATEWAYS that have a node id and an endpoint count.
        metadata: the program's own, whose values are left as they are: of v0.8's types if v0.8 is to read them.
        now_ms: milliseconds since 1970.
    """
    sessions: list[Value] = [[each.node_id, each.endpoint.url] for each in gateways if each.node_id and each.endpoint]
    return write(
        _Payload(
            endpoint=None if endpoint is None else endpoint.url,
            metadata={key.encode(): value for key, value in metadata.items()},
            gateways=tuple(sessions[:MAX_GATEWAYS]) or None,
            advertised_at=now_ms // _MS,
        )
    )


def providers_in(records: Iterable[Record], procedure: str) -> tuple[Provider, ...]:
    """Return the providers that ``records`` tell of, in their order; what cannot be read is left out."""
    read_records = (_provider_in(record, procedure) for record in records)
    return tuple(each for each in read_records if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    """The fields on the wire. Texts are bin there, for v0.8."""

    endpoint: Annotated[str | None, Text(1, 1024)] = None
    metadata: Annotated[Value, AnyValue()] = None
    gateways: Annotated[tuple[Value, ...] | None, ListOf(AnyValue(), MAX_GATEWAYS)] = None
    advertised_at: Annotated[int | None, Integer()] = None


def _provider_in(record: Record, procedure: str) -> Provider | None:
    try:
        payload = record.payload
        if not isinstance(payload, dict):
            return None
        found: _Payload = read(_Payload, payload)
        return Provider(
            procedure=procedure,
            node_id=record.owner,
            endpoint=None if found.endpoint is None else _endpoint_in(found.endpoint),
            gateways=tuple(_gateway_in(item) for item in found.gateways or ()),
            metadata=_metadata_in(found.metadata),
            expires_at=record.expires_at,
            advertised_at=(found.advertised_at or 0) * _MS,
        )
    except (ProtocolError, ValueError):
        return None


def _endpoint_in(text: str) -> Endpoint:
    endpoint = Endpoint.parse(text)
    if not endpoint.port:
        raise ValueError("port 0 can't be dialled")
    return endpoint


def _gateway_in(value: Value) -> Contact:
    match value:
        case [bytes(node_id), str(endpoint)]:
            return Contact(_endpoint_in(endpoint), NodeId(node_id))
        case [bytes(node_id), bytes(endpoint)]:
            return Contact(_endpoint_in(endpoint.decode()), NodeId(node_id))
        case _:
            raise ValueError("a gateway is a node id and an endpoint")


def _metadata_in(value: Value) -> dict[str, Value]:
    """Return a map with its keys as texts, whoever has written them."""
    match value:
        case None:
            return {}
        case dict():
            return {key.decode() if isinstance(key, bytes) else key: item for key, item in value.items()}
        case _:
            raise ValueError("metadata is a map")
