"""What a program gives to be called."""

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Handler"]

Handler: TypeAlias = Callable[[Any], Any]
"""Takes the decoded arguments; ``def`` or ``async def``; returns any value the wire carries."""
