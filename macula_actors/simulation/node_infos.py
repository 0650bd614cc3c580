"""Contacts as messages have them, and back; each is made once, since a simulation sends the same ones all the time."""

from collections.abc import Iterable

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.exchange import node_infos_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import NodeInfo

__all__ = ["NodeInfos"]


class NodeInfos:
    """A cache of up to ``max_entries`` contacts, emptied when it is full."""

    def __init__(self, max_entries: int = 200_000) -> None:
        self._max_entries = max_entries
        self._entries: dict[bytes, tuple[Contact, NodeInfo]] = {}

    def of(self, contacts: Iterable[Contact]) -> tuple[NodeInfo, ...]:
        """Return the ``contacts`` that have a node id, for a message."""
        infos = []
        for each in contacts:
            entry = self._entries.get(each.node_id or b"")
            if entry is not None and entry[0] is each:
                infos.append(entry[1])
            elif each.node_id is not None:
                infos.append(self._info(each.node_id, each))
        return tuple(infos)

    def contacts(self, infos: Iterable[NodeInfo]) -> list[Contact]:
        """Return the contacts that a message has; without those whose address cannot be read."""
        contacts = []
        for each in infos:
            entry = self._entries.get(each.node_id)
            contact = entry[0] if entry is not None and entry[1] is each else self._contact(each)
            if contact is not None:
                contacts.append(contact)
        return contacts

    def _info(self, node_id: NodeId, contact: Contact) -> NodeInfo:
        entry = self._entries.get(node_id)
        if entry is not None and (entry[0] is contact or entry[0] == contact):
            return entry[1]
        (info,) = node_infos_of([contact])
        self._keep(node_id, contact, info)
        return info

    def _contact(self, info: NodeInfo) -> Contact | None:
        entry = self._entries.get(info.node_id)
        if entry is not None and (entry[1] is info or entry[1] == info):
            return entry[0]
        text = info.endpoint or info.address
        try:
            contact = Contact(None if text is None else Endpoint.parse(text), NodeId.normalize(info.node_id))
        except ValueError:
            return None
        self._keep(info.node_id, contact, info)
        return contact

    def _keep(self, node_id: bytes, contact: Contact, info: NodeInfo) -> None:
        if len(self._entries) >= self._max_entries:
            self._entries.clear()
        self._entries[node_id] = (contact, info)
