"""A text that nobody shall read in a log, an error or a listing. Erlang: none."""

from dataclasses import dataclass
from typing import Final

from typing_extensions import override

__all__ = ["MASK", "Secret"]

MASK: Final = "********"  # for what nobody shall read


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that is masked wherever it is shown; only `get_secret_value` tells it."""

    _text: str

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._text

    @override
    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    @override
    def __str__(self) -> str:
        return MASK
