"""Topics, and the patterns by which many are subscribed to at once.

Erlang: macula_pubsub_topic, macula_utils:topic_matches/5, macula_gateway_pubsub:topic_matches/2.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from macula_actors.core.names import is_segment, require_length

__all__ = ["DOTTED", "HASH", "MQTT", "Dialect", "Pattern", "is_separator", "validate_pattern", "validate_topic"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How patterns are written.

    Args:
        separator: the character between two segments; see `is_separator`.
        one: the segment that stands for exactly one; no topic has such a segment.
        many: the segment that stands for any number of them, none too, anywhere in a pattern; likewise.

    Raises:
        ValueError: ``separator`` is not such a character, or no topic could be told from these wildcards.
    """

    separator: str = "."
    one: str = "*"
    many: str = "**"

    def __post_init__(self) -> None:
        if not is_separator(self.separator):
            raise ValueError(f"separator {self.separator!r}; allowed is one character, no letter, digit or space")
        if is_segment(self.one) or is_segment(self.many):
            raise ValueError(f"wildcards {self.one!r} and {self.many!r} must not be what a segment of a topic may be")
        if not self.one or not self.many or self.one == self.many or self.separator in self.one + self.many:
            raise ValueError(f"wildcards {self.one!r} and {self.many!r} must differ and not contain the separator")


def is_separator(text: str) -> bool:
    """Tell whether ``text`` may stand between two segments: one character that can be seen, no letter or digit."""
    return len(text) == 1 and text.isprintable() and not text.isspace() and not text.isalnum()


DOTTED: Final = Dialect()  # the client's and the gateway's
HASH: Final = Dialect(many="#")  # macula_pubsub_topic
MQTT: Final = Dialect("/", "+", "#")  # macula_pubsub_handler's other settings; here # may stand anywhere


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is subscribed to, compiled once: a topic, or a pattern of them.

    A segment is a wildcard as a whole or not at all: ``a.b*`` matches itself only. Case counts. A peer's pattern may be
    any text, so none is refused here; `validate_pattern` is for our own users'.
    """

    text: str
    dialect: Dialect = DOTTED
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(_to_regex(self.text, self.dialect)))

    def matches(self, topic: str) -> bool:
        """Tell whether ``topic`` is one of those meant; takes time as its length times the pattern's, at worst."""
        return self._regex.fullmatch(self.dialect.separator + topic) is not None


def validate_topic(topic: str, dialect: Dialect = DOTTED) -> None:
    """Check that ``topic`` can be published to: a name (see `names.validate`) without wildcards.

    Raises:
        ValueError: it cannot.
    """
    _validate(topic, "topic", (), dialect)


def validate_pattern(pattern: str, dialect: Dialect = DOTTED) -> None:
    """Check that ``pattern`` can match a valid topic: as a topic, but whole segments may be wildcards.

    Raises:
        ValueError: it cannot.
    """
    _validate(pattern, "pattern", (dialect.one, dialect.many), dialect)


def _validate(text: str, what: str, wildcards: tuple[str, ...], dialect: Dialect) -> None:
    require_length(text, what)
    for segment in text.split(dialect.separator):
        if segment not in wildcards and not is_segment(segment):
            also = "".join(f", or {wildcard!r}" for wildcard in wildcards)
            raise ValueError(
                f"{what} {text!r} has the segment {segment!r}; allowed between two {dialect.separator!r} "
                f"are ASCII letters, digits, '_' and '-', at least one{also}"
            )


def _to_regex(pattern: str, dialect: Dialect) -> str:
    """Return the expression for ``pattern``, to be tried on a separator and the topic, so that all segments are alike.

    The runs of segments between ``many`` wildcards are found from left to right. Where a run is found first is as good
    as any later place, so these choices are never reconsidered (atomic groups): otherwise a pattern with many wildcards
    could take for ever. Only the last run must end where the topic ends.
    """
    separator = re.escape(dialect.separator)
    any_segment = f"{separator}[^{separator}]*"
    runs = [""]
    for segment in pattern.split(dialect.separator):
        if segment == dialect.many:
            runs.append("")
        elif segment == dialect.one:
            runs[-1] += any_segment
        else:
            runs[-1] += f"{separator}{re.escape(segment)}(?![^{separator}])"
    first, *later = runs
    if not later:
        return first
    *found, last = later
    return first + "".join(f"(?>(?:{any_segment})*?{run})" for run in found) + f"(?:{any_segment})*{last}"
