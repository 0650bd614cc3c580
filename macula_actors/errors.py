"""What can go wrong in the mesh, by whose fault it is. Every error derives from `MaculaError`."""

from pathlib import Path
from typing import Final, Literal

from typing_extensions import override

__all__ = [
    "BadArgumentError",
    "BadProofError",
    "CallTimeoutError",
    "ConfigError",
    "ConnectionLostError",
    "CrashedError",
    "DeniedError",
    "IdentityMismatchError",
    "KeyStoreError",
    "LocalProtocolError",
    "MaculaError",
    "MaxHopsExceededError",
    "NoProviderError",
    "NoRouteError",
    "NodeStartedError",
    "NotRunningError",
    "OverloadedError",
    "ProtocolError",
    "QuorumError",
    "RealmMismatchError",
    "RefusedError",
    "RemoteCallError",
    "RemoteProtocolError",
    "SelfDialError",
    "UnacknowledgedError",
    "WrongRealmSecretError",
]

_SHOWN: Final = 200  # characters of a text that came from outside
_ENDED_BY: Final = {"local": "this node", "network": "the network", "peer": "the peer"}


class MaculaError(Exception):
    """Base of every error of this package."""


class ProtocolError(MaculaError):
    """The wire protocol was broken. Never raised itself: one of its two subclasses says by whom.

    ``code`` is a short name for programs (``"unknown_type"``), ``detail`` says to people what was wrong; it is short,
    and quotes nothing of what came from outside but numbers.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class LocalProtocolError(ProtocolError):
    """This program tried to break the protocol: a bug here. Let it crash; nothing was sent."""


class BadArgumentError(LocalProtocolError, ValueError):
    """An argument of a call that is none of those allowed, which ``detail`` names. Nothing was done."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. Answer it with ``code`` or close its stream; this node stays up."""


class ConnectionLostError(MaculaError):
    """The connection to a node has ended, or could not be made. Nobody's fault by itself: dial again, or another node.

    ``by`` is who ended it: the ``"peer"``, this node (``"local"``), or the ``"network"``, which carried nothing any
    more. ``code`` is a `CloseCode` of `macula_actors.core.peer.close_codes`, or one we do not know; ``reason`` is for
    people, from the peer if it was the peer.
    """

    def __init__(self, by: Literal["local", "network", "peer"], code: int, reason: str = "") -> None:
        super().__init__(f"connection ended by {_ENDED_BY[by]}, code {code}, {reason[:_SHOWN]!r}")
        self.by: Final = by
        self.code = code
        self.reason = reason


class DeniedError(ConnectionLostError):
    """This node denies the other's address, by its configuration or because it was told so: nothing was sent there."""


class IdentityMismatchError(MaculaError):
    """Another node answered than the one dialled. Its address has changed hands, or somebody is in between.

    ``expected`` and ``actual`` are node ids; both None at the node that answered and was told so. Don't talk to it;
    look the node up again.
    """

    def __init__(self, expected: bytes | None = None, actual: bytes | None = None) -> None:
        super().__init__(f"node {_hex(expected)} was dialled, node {_hex(actual)} answered")
        self.expected = expected
        self.actual = actual


class SelfDialError(MaculaError):
    """A node dialled itself, or a node that has a copy of its key. Drop the address, or give that node its own key."""

    def __init__(self) -> None:
        super().__init__("the node at the other end has the key of this one")


class RealmMismatchError(MaculaError):
    """The two nodes are of different realms. A matter of their configuration: dialling again does not help.

    ``ours`` and ``theirs`` are the realms' names; ``theirs`` is None at the node that was refused.
    """

    def __init__(self, ours: str | None = None, theirs: str | None = None) -> None:
        super().__init__(f"the realms differ: {ours!r} here, {theirs!r} at the peer")
        self.ours = ours
        self.theirs = theirs


class WrongRealmSecretError(RealmMismatchError):
    """The realms have one name, but one node has another secret than the other, or none. As its base class."""

    @override
    def __str__(self) -> str:
        return f"the secrets of realm {self.ours!r} differ, or one of the two nodes has none"


class BadProofError(MaculaError):
    """The dialler did not prove its node id, which `detail` explains. Dialling again does not help.

    At the acceptor it is the dialler's fault. At the dialler: the ``security`` of the two nodes differs, or somebody is
    in between.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(f"node id not proven: {detail[:_SHOWN]}")
        self.detail = detail


class CrashedError(MaculaError):
    """The process ``server`` of this node crashed with ``error`` before it answered: a bug here. It is being restarted.

    What was asked may have been done. Nobody asks it again by himself, for that may be what the process crashed at.
    """

    def __init__(self, server: str, error: BaseException) -> None:
        super().__init__(f"{server} crashed: {type(error).__name__}: {str(error)[:_SHOWN]}")
        self.server = server
        self.error = error


class OverloadedError(MaculaError):
    """There was no room: ``limit`` is the most that there may be of ``what``. Try again later, or another node.

    ``limit`` is None when it was the peer that had no room.
    """

    def __init__(self, what: str, limit: int | None = None) -> None:
        most = "the peer has no room" if limit is None else f"no room for more than {limit}"
        super().__init__(f"{most}: {what[:_SHOWN]}")
        self.what = what
        self.limit = limit


class RefusedError(MaculaError):
    """The peer refused one message, for the reason ``code``, which ``detail`` explains. The connection goes on."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the peer refused the message: {code}: {detail}"[:_SHOWN])
        self.code = code
        self.detail = detail


class CallTimeoutError(MaculaError, TimeoutError):
    """No answer from ``peer`` within ``timeout`` seconds. It may have done the work, or do it yet."""

    def __init__(self, peer: str, timeout: float) -> None:
        super().__init__(f"no answer from {peer} within {timeout:g} s")
        self.peer = peer
        self.timeout = timeout


class NoRouteError(MaculaError):
    """No way to ``peer`` was found.

    ``tried`` are the paths, in order, and how each failed, or why it was not even begun; if there is none, ``reason``
    says why.
    """

    def __init__(
        self, peer: str, tried: tuple[tuple[str, Exception], ...] = (), reason: str = "where it is is not known"
    ) -> None:
        ways = "; ".join(f"{path}: {error}" for path, error in tried) or reason
        super().__init__(f"no route to {peer}: {ways}")
        self.peer = peer
        self.tried = tried


class NoProviderError(MaculaError):
    """No node provides ``procedure``, as far as this node can find out. Look at the name, or wait for a provider."""

    def __init__(self, procedure: str) -> None:
        super().__init__(f"no node provides {procedure[:_SHOWN]!r}")
        self.procedure = procedure


class RemoteCallError(MaculaError):
    """The handler of a call failed, or refused it. It has run, or been refused: calling again may do the work twice.

    Raise it in a handler to refuse a call with a ``code`` of your own; any other exception arrives as the code
    ``"handler_error"``. ``message`` is for people, at most 1,024 characters; ``path`` are the nodes that the call went
    through, in order, by their ids.
    """

    def __init__(self, code: str, message: str, path: tuple[bytes, ...] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.path = path


class MaxHopsExceededError(MaculaError):
    """A call would have needed more than ``max_hops`` hops. ``path`` are the nodes that it went through, in order.

    The mesh is badly connected between here and there, or ``max_hops`` is too low.
    """

    def __init__(self, max_hops: int, path: tuple[bytes, ...] = ()) -> None:
        super().__init__(f"not there after {max_hops} hops: {' > '.join(each.hex()[:8] for each in path)}")
        self.max_hops = max_hops
        self.path = path


class UnacknowledgedError(MaculaError):
    """An event on ``topic`` was not acknowledged in time by the nodes ``node_ids``; all other subscribers have it.

    They may have got it, or not, and do not get it any more: one that was killed counts as a subscriber until its
    subscription expires. Publishing again is another event, for all of them.
    """

    def __init__(self, topic: str, node_ids: tuple[bytes, ...]) -> None:
        shown = ", ".join(each.hex()[:8] for each in node_ids[:8])
        super().__init__(f"{topic[:_SHOWN]}: not acknowledged by {len(node_ids)} nodes: {shown}")
        self.topic = topic
        self.node_ids = node_ids


class QuorumError(MaculaError):
    """Of the nodes that were asked, only ``reached`` did what was asked; ``needed`` are too few even for a part of it.

    Nobody's fault by itself: the network is cut or overloaded. Try again later. If one of them refused it, ``reason``
    is its refusal.
    """

    def __init__(self, reached: int, needed: int, reason: MaculaError | None = None) -> None:
        why = "" if reason is None else f"; one of them: {reason}"
        super().__init__(f"{reached} nodes of the {needed} needed answered as they should{why}")
        self.reached = reached
        self.needed = needed
        self.reason = reason


class ConfigError(MaculaError, ValueError):
    """The configuration has a ``value`` for ``key`` that it must not have; ``allowed`` says what may be there."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key} = {str(value)[:_SHOWN]!r}: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed


class NotRunningError(MaculaError, RuntimeError):
    """A node was asked for something before it was started, or after its end. Nothing was done; start one first."""

    def __init__(self) -> None:
        super().__init__("the node is not running: use it inside `async with Node(config) as node:`")


class NodeStartedError(MaculaError, RuntimeError):
    """A node was started that runs already, or was stopped. It is as it was; make another `Node` for another life."""

    def __init__(self) -> None:
        super().__init__("a node is started once, and this one was started or stopped: make another Node(config)")


class KeyStoreError(MaculaError):
    """The node's key could not be read or kept at ``path``. For who runs the node: ``advice`` says what to do."""

    def __init__(self, path: Path, problem: str, advice: str) -> None:
        super().__init__(f"{path} {problem}; {advice}")
        self.path = path
        self.problem = problem
        self.advice = advice


def _hex(node_id: bytes | None) -> str:
    return "(unknown)" if node_id is None else node_id.hex()
