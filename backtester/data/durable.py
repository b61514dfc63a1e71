"""Files that appear whole or not at all, their digests, and the lock that gives a directory one owner."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backtester.errors import OutputError, OwnedError, StoreError

_SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')
_NO_SEAL = b'"seal": "%s"' % (b"0" * 64)


def write_whole(path: Path | str, content: bytes | memoryview, *, sync: bool) -> None:
    """Make `path` hold `content`, by a temporary file and a rename; a killed writer leaves the old file or none.

    sync  wait until the content and the name would survive a loss of power; a rename alone survives `kill -9`
    """
    # Text and plain calls, not Path and file objects: a session writes twenty files, half a millisecond of such things.
    folder, name = os.path.split(path)
    temporary = f"{folder or '.'}/.{name}.{os.getpid()}.tmp"
    try:
        try:
            _write(temporary, content, sync=sync)
        except FileNotFoundError:
            make_folder(folder)
            _write(temporary, content, sync=sync)
        os.replace(temporary, path)  # noqa: PTH105  taken for its price
        if sync:
            sync_directory(Path(folder))
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror or error}; free space or permissions, then run again") from error


def make_folder(folder: str) -> None:
    """Make a folder whose parent is probably there, and those above it where they are missing too."""
    try:
        try:
            os.mkdir(folder)  # noqa: PTH102  taken for its price
        except (FileExistsError, FileNotFoundError):
            Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}; free space or permissions, then run again") from error


def _write(path: str, content: bytes | memoryview, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        # One call writes at most 2 GiB, and less on a full disk, which the next call then says.
        rest = memoryview(content)
        while len(rest):
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_everything(folder: Path) -> bool:
    """Wait until all that was written to the file system of `folder` would survive a loss of power.

    One call for any number of files, where a call for each took a millisecond. False where the system has no such call.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OutputError(f"{folder}: {os.strerror(code)}; what was written may not be on the disk, run again")
    finally:
        os.close(descriptor)
    return True


def sync_file(path: Path) -> None:
    """Wait until the content of `path` would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Wait until the names in `path` would survive a loss of power."""
    sync_file(path)


def sweep_temporaries(root: Path) -> int:
    """Remove what killed writers left under `root`; only its owner may call this. Returns how many files went."""
    stale = [path for path in root.rglob(".*.tmp") if path.is_file()]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def sha256(content: bytes | memoryview) -> str:
    """The hexadecimal digest of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """The hexadecimal digest of a file, read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """The one way this project writes a value as JSON: sorted keys, no NaN, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def sealed_json(value: dict[str, Any]) -> bytes:
    """An object as canonical JSON that vouches for itself: `seal` is the digest of its bytes with a seal of zeros."""
    content = canonical_json({**value, "seal": "0" * 64})
    return content.replace(_NO_SEAL, b'"seal": "%s"' % sha256(content).encode(), 1)


def read_sealed(path: Path, *, remedy: str) -> dict[str, Any]:
    """What `sealed_json` wrote; StoreError, ending in `remedy`, if a byte of it is different now."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: not readable ({error.strerror or error}); {remedy}") from error
    seal = _SEAL.search(content)
    if seal is None:
        raise StoreError(f"{path}: holds no seal, so it is damaged or of an earlier version; {remedy}")
    if sha256(content[: seal.start()] + _NO_SEAL + content[seal.end() :]).encode() != seal[1]:
        raise StoreError(f"{path}: damaged (its seal is not that of its content); {remedy}")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not readable as JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: holds a {type(value).__name__}, expected an object; {remedy}")
    return value


@contextmanager
def owned(root: Path, purpose: str) -> Iterator[None]:
    """Hold `root` as its only owner; OwnedError names the process that already does.

    The lock is the kernel's (flock), so it dies with its owner: a killed run leaves nothing to take over.
    """
    path = root / ".owner"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"{root}: {error.strerror or error}; choose a directory that can be written") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another process"
            raise OwnedError(f"{root} is owned by {owner}; wait for it to end, or choose another directory") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()} ({purpose})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
