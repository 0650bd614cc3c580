"""The URI of a node: ``macula://REALM/NODE-ID``, the id as 64 hexadecimal digits.

Erlang: macula_uri.
"""

import re
from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from macula_actors.core import realm
from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["NodeUri"]

_URI = re.compile(r"macula://([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class NodeUri:
    """Names one node of one realm. ``str()`` of it is its text.

    Raises:
        ValueError: ``realm`` is no realm.
    """

    realm: str
    node_id: NodeId

    def __post_init__(self) -> None:
        realm.validate(self.realm)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the URI that ``text`` writes.

        Raises:
            ValueError: it is none, or its realm or node id is none.
        """
        parts = _URI.fullmatch(text)
        if parts is None:
            raise ValueError(f"a node's URI is macula://REALM/NODE-ID, not {text[:80]!r}")
        return cls(parts[1], NodeId.from_hex(parts[2]))

    @override
    def __str__(self) -> str:
        return f"macula://{self.realm}/{self.node_id}"
