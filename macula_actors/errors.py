"""What can go wrong in the mesh, by whose fault it is. Every error derives from `MaculaError`."""

__all__ = ["LocalProtocolError", "MaculaError", "ProtocolError", "RemoteProtocolError"]


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


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. Answer it with ``code`` or close its stream; this node stays up."""
