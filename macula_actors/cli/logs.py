"""How a node that is run by the command line writes its log. Only here loguru is configured."""

import sys
from typing import Final

from loguru import logger

__all__ = ["configure_logs"]

_FORMAT: Final = "<dim>{time:HH:mm:ss.SSS}</dim> <level>{level: <7}</level> {message}"


def configure_logs(level: str, *, as_json: bool) -> None:
    """Write what is of ``level`` or above to stderr: a line each, or a JSON object each."""
    logger.remove()
    if as_json:
        logger.add(sys.stderr, level=level, serialize=True, backtrace=False, diagnose=False)
    else:
        logger.add(sys.stderr, level=level, format=_FORMAT, backtrace=False, diagnose=False)
    logger.enable("macula_actors")
    logger.enable("supervisors")
