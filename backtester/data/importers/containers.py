"""Vendor files as bytes: opened once, hashed, bounded in size and ratio; no path inside an archive is ever used."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backtester.errors import InputError

# One file may not decode to more than this, nor to more than RATIO times its size: bars in text shrink 4 to 15 times.
MAX_DECODED_BYTES = 4 << 30
MAX_RATIO = 100
# Below this size the ratio says nothing: a file of one repeated line is harmless.
RATIO_FLOOR_BYTES = 1 << 20
MAX_MEMBERS = 10_000


@dataclass(frozen=True)
class VendorFile:
    """One file as it was read: its path below SRC, the digest and size of its bytes on disk."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Content:
    """A file's decoded bytes beside the record of what lay on disk."""

    file: VendorFile
    data: bytes


def find_files(sources: tuple[Path, ...], *, endings: tuple[str, ...]) -> list[tuple[str, Path]]:
    """(name, path) of every file named or found below a named folder, sorted by name within each source.

    A folder is searched to any depth for names ending in one of `endings`, letter case aside; hidden ones are left out.
    Raise InputError for what is neither file nor folder and for a folder without such a file.
    """
    found: list[tuple[str, Path]] = []
    for source in sources:
        if source.is_file():
            found.append((source.name, source))
            continue
        if not source.is_dir():
            raise InputError(f"{source}: neither a file nor a folder; name what the vendor delivered")
        below = sorted(path for path in source.rglob("*") if _is_wanted(path, source, endings))
        if not below:
            raise InputError(f"{source}: no file ends in {', '.join(endings)}; name the files themselves")
        found += [(path.relative_to(source).as_posix(), path) for path in below]
    return found


def read_content(name: str, path: Path) -> Content:
    """Read and hash a file, and decompress it if its first bytes say gzip."""
    raw = read_bytes(path)
    data = _gunzip(raw, name) if raw[:2] == b"\x1f\x8b" else raw
    return Content(describe(name, raw), data)


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file; raise InputError where it cannot be read, is special or too large."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: not a regular file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_DECODED_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > MAX_DECODED_BYTES:
        raise InputError(f"{path}: larger than {MAX_DECODED_BYTES >> 30} GiB; split it")
    return raw


def describe(name: str, raw: bytes) -> VendorFile:
    """The record of a file's bytes as they lay on disk."""
    return VendorFile(name, hashlib.sha256(raw).hexdigest(), len(raw))


def unzip(raw: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield (member name, bytes) of a zip; a member's name is text to read facts from, never a path to open.

    Raise InputError for a broken or encrypted archive and for one whose members exceed the size or ratio limits,
    judged by the bytes that come out, not by what the archive says of itself.
    """
    budget = _budget(len(raw))
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise InputError(f"{name}: {len(members)} members in one zip; at most {MAX_MEMBERS} are read")
            for member in members:
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(f"{name}: compressed by method {member.compress_type}; expected deflate")
                with archive.open(member) as stream:
                    data = stream.read(budget + 1)
                budget = _spend(budget, len(data), name)
                yield member.filename, data
    # A directory that lies makes zipfile raise almost anything.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{name}: not a zip that can be read ({error}); fetch it again") from error


def _gunzip(raw: bytes, name: str) -> bytes:
    parts: list[bytes] = []
    budget, rest = _budget(len(raw)), raw
    try:
        while rest:  # a gzip file may hold several members, one after the other
            stream = zlib.decompressobj(wbits=31)
            data = stream.decompress(rest, budget + 1)
            budget = _spend(budget, len(data), name)
            if not stream.eof:
                raise InputError(f"{name}: the gzip stream ends early; fetch the file again")
            parts.append(data)
            rest = stream.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise InputError(f"{name}: not a gzip file that can be read ({error}); fetch it again") from error
    return b"".join(parts)


def _budget(compressed: int) -> int:
    return min(MAX_DECODED_BYTES, max(RATIO_FLOOR_BYTES, compressed * MAX_RATIO))


def _spend(budget: int, decoded: int, name: str) -> int:
    if decoded > budget:
        raise InputError(
            f"{name}: decompresses to more than {MAX_RATIO} times its size or {MAX_DECODED_BYTES >> 30} GiB;"
            " decompress it yourself if it is what you think it is"
        )
    return budget - decoded


def _is_wanted(path: Path, root: Path, endings: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.name.lower().endswith(endings) and path.is_file()
