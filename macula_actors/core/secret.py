"""A text that nobody shall read in a log, an error or a listing. Erlang: none."""

from difflib import get_close_matches
from typing import Final

from typing_extensions import override

__all__ = ["MASK", "Secret", "masked"]

MASK: Final = "********"  # for what nobody shall read

_SECRETS: Final = ("realm_secret", "macula_realm_secret")
_ALIKE: Final = 0.75  # of difflib: realm_secert is, realms is not


class Secret:
    """A text that is masked wherever it is shown; only `get_secret_value` tells it.

    It is no dataclass: `dataclasses.asdict` of what holds it would tell it, too.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    @override
    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    @override
    def __hash__(self) -> int:
        return hash(self._text)

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._text

    @override
    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    @override
    def __str__(self) -> str:
        return MASK


def masked(name: str, text: str) -> str:
    """Return ``text`` as an error shows it: masked if it is a secret, or of a ``name`` that was meant to be one's."""
    name = name.lower()
    is_secret = "secret" in name or bool(get_close_matches(name, _SECRETS, cutoff=_ALIKE))
    return MASK if is_secret and not name.endswith("_file") else text
