"""One node a data directory: two with one key would be one node in two places, and write over each other's records.

The lock is the kernel's, on ``node.lock``: it is gone with the process, however that ends; the file may stay.
"""

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from macula_actors.errors import ConfigError

__all__ = ["LOCK_NAME", "DataDirLock"]

LOCK_NAME: Final = "node.lock"

_OWNER_ONLY: Final = 0o600
_MAX_PID_LENGTH: Final = 20  # digits


class DataDirLock:
    """Holds ``data_dir``, which is there, for this node, until `release`.

    Raises:
        ConfigError: another node has it, of this process or another one; or it can't be locked.
    """

    def __init__(self, data_dir: Path) -> None:
        try:
            self._descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        except OSError as error:
            raise _not_locked(data_dir, error) from error
        try:
            # of the open file, not of the process as lockf's: so it keeps out another node of this process, too
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            refused = _taken(data_dir, self._holder()) if isinstance(error, BlockingIOError) else None
            os.close(self._descriptor)
            raise refused or _not_locked(data_dir, error) from error

    @classmethod
    def of(cls, data_dir: Path | None) -> Self | None:
        """Return the lock of ``data_dir``; None if there is none."""
        return None if data_dir is None else cls(data_dir)

    def release(self) -> None:
        """Let others have it. Once only."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # a child of fork has the file open, too
        os.close(self._descriptor)

    def _holder(self) -> str:
        pid = os.pread(self._descriptor, _MAX_PID_LENGTH, 0).strip()
        return f"process {pid.decode()}" if pid.isdigit() else "another process"


def _taken(data_dir: Path, holder: str) -> ConfigError:
    return ConfigError("data_dir", data_dir, f"a node of {holder} has it; stop that one, or name another data_dir")


def _not_locked(data_dir: Path, error: OSError) -> ConfigError:
    advice = "let this user own it, or name another data_dir"
    return ConfigError("data_dir", data_dir, f"{LOCK_NAME} there can't be locked ({error.strerror}); {advice}")
