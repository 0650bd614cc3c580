"""The mesh: nodes that find, call and tell each other without a broker."""

from loguru import logger

__all__: list[str] = []

logger.disable(__name__)  # noqa: RUF067 -- a library is silent until the program enables it
