"""Which of the streams that the peer has opened this side still has to end, and how much may come on one.

Between two nodes of ours a stream is one exchange: a message, and the answer that ends it. v0.8 asks again and again on
one stream, and wants its FIN answered with a FIN (spec/wire.md, Streams): after the last answer, or that would be lost.
RFC: 9000, section 4.6: a stream that is not ended at both sides is never given back to the peer.
"""

from typing import Final

__all__ = ["PeerStreams"]


class PeerStreams:
    """What is to come on the streams. It keeps those on which something is; the peer's limit of streams bounds them.

    Args:
        is_shared: whether many messages may come on one stream.
    """

    def __init__(self, *, is_shared: bool) -> None:
        self._is_shared: Final = is_shared
        self._unanswered: Final[dict[int, int]] = {}  # messages, of shared streams
        self._ended: Final[set[int]] = set()  # of those, by the peer
        self._asked: Final[set[int]] = set()  # not shared, had their message, and not ended by the peer

    def __len__(self) -> int:
        return len(self._unanswered) + len(self._asked)

    def asked(self, stream_id: int, *, end_stream: bool) -> bool:
        """Take note of a message, and whether the stream ended with it; False: the stream has had its one message."""
        if self._is_shared:
            self._unanswered[stream_id] = self._unanswered.get(stream_id, 0) + 1
            if end_stream:
                self._ended.add(stream_id)
            return True
        if stream_id in self._asked:
            return False
        if not end_stream:
            self._asked.add(stream_id)
        return True

    def answered(self, stream_id: int) -> bool:
        """Take note of the answer to a message that was `asked`; return whether the stream is to be ended with it."""
        if not self._is_shared:
            return True
        left = self._unanswered.pop(stream_id, 1) - 1
        if left:
            self._unanswered[stream_id] = left
            return False
        is_ended = stream_id in self._ended
        self._ended.discard(stream_id)
        return is_ended

    def ended(self, stream_id: int) -> bool:
        """Take note that the peer has ended a stream, with no message; return whether this side is to end it now."""
        if stream_id in self._unanswered:
            self._ended.add(stream_id)
            return False
        if stream_id in self._asked:
            self._asked.discard(stream_id)
            return False
        return True

    def failed(self, stream_id: int) -> None:
        """Take note that the stream was cut; what was `asked` on it is still going to be `answered`."""
        self._asked.discard(stream_id)
