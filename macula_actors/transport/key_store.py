"""Where a node keeps its key: ``node.key`` in its data directory, and for people ``node.crt`` beside it.

A key is made once and never overwritten: it is the node's name. It comes into being whole and readable by its owner
only, and of two processes that start at once, both have the one that was first.
"""

import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from macula_actors.core.peer.identity import Identity
from macula_actors.errors import KeyStoreError
from macula_actors.transport.certificate import self_signed

__all__ = ["CERTIFICATE_NAME", "KEY_NAME", "load_or_create"]

KEY_NAME: Final = "node.key"
CERTIFICATE_NAME: Final = "node.crt"

_OWNER_ONLY: Final = 0o700  # of a directory that we make; tempfile makes files 0600
_OTHERS: Final = 0o077
_READABLE_BY_ALL: Final = 0o644
_MAX_KEY_BYTES: Final = 16_384  # PEM of any kind of key


def load_or_create(data_dir: Path | None) -> Identity:
    """Return the identity kept in ``data_dir``, made now if there is none yet; None: a new one that nothing keeps.

    Raises:
        KeyStoreError: the directory or the key is not as it must be; the error says what to do. Nothing was changed.
    """
    if data_dir is None:
        return Identity.generate()
    path = data_dir / KEY_NAME
    _make_directory(data_dir)
    identity = _load(path) or _create(path)
    _show_certificate(data_dir / CERTIFICATE_NAME, identity)
    return identity


def _make_directory(data_dir: Path) -> None:
    with _explained(data_dir, "cannot be made"):
        if data_dir.exists() and not data_dir.is_dir():
            raise KeyStoreError(data_dir, "is not a directory", "name another data_dir")
        data_dir.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)


def _load(path: Path) -> Identity | None:
    """Return the identity in the file ``path``; None if there is no such file."""
    with _explained(path, "cannot be read"):
        try:
            # it may be a symbolic link, as secrets of containers are; a pipe must not make us wait
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            _check_file(path, os.fstat(descriptor))
            pem = os.read(descriptor, _MAX_KEY_BYTES)
        finally:
            os.close(descriptor)
    try:
        return Identity.from_pem(pem)
    except ValueError as error:
        raise KeyStoreError(
            path, f"is no key of a node: {error}", "restore it, or move it away for a new one"
        ) from error


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(path, "is not a file", "move it away")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyStoreError(path, f"can be read or changed by others (mode {mode:04o})", f"chmod 600 {path}")


def _create(path: Path) -> Identity:
    """Return the identity now kept in ``path``: a new one, unless another process was faster."""
    with _explained(path, "cannot be made"), _temporary(path, Identity.generate().to_pem()) as temporary:
        # unlike a rename, a link never replaces what is there
        with suppress(FileExistsError):
            os.link(temporary, path)
        _sync_directory(path.parent)
    identity = _load(path)
    if identity is None:
        raise KeyStoreError(path, "is a link to nowhere, or was removed just now", "remove the link, or try again")
    return identity


def _show_certificate(path: Path, identity: Identity) -> None:
    """Write the certificate to ``path``, unless it is there. Nothing reads it: where it can't be written, it is not."""
    pem = self_signed(identity).certificate
    with suppress(OSError):
        if path.is_file() and path.read_bytes() == pem:
            return
        with _temporary(path, pem) as temporary:
            temporary.chmod(_READABLE_BY_ALL)
            temporary.replace(path)


@contextmanager
def _temporary(path: Path, content: bytes) -> Generator[Path]:
    """Have a file beside ``path`` with ``content``, safe on the disk, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path, problem: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise KeyStoreError(path, f"{problem}: {reason}", "let this user own the data_dir, or name another") from error
