"""The store: finished blocks, one file each, named by the digest of all that decided their pixels."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from mapstyle.errors import OutputError

Name = tuple[str, int, int]
"""Of an encoded tile in a block: suffix of its format, column and row counted from the block's corner."""
_HEAD = b"mapstyle-block\0"


class BlockStore:
    """A folder of finished blocks that several processes, on several machines, may write into.

    A block is written beside its name and renamed, so that it is never half there; two that write the same block
    write the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder; it is made when the first block is written."""
        self.folder = folder

    def path(self, fingerprint: str) -> Path:
        """Give the file of a block."""
        return self.folder / fingerprint[:2] / fingerprint

    def put(self, fingerprint: str, tiles: Mapping[Name, bytes]) -> None:
        """Keep a block's encoded tiles.

        Raises:
            OutputError: the disk is full, or the folder has vanished or cannot be written.
        """
        path = self.path(fingerprint)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        index = [[*name, len(data)] for name, data in tiles.items()]
        head = json.dumps(index, separators=(",", ":")).encode()
        body = b"".join([_HEAD, len(head).to_bytes(8, "little"), head, *tiles.values()])
        try:
            for folder in (self.folder, path.parent):  # not those above: they may be gone on purpose
                folder.mkdir(exist_ok=True)
            with beside.open("wb") as file:
                file.write(body)
                file.write(_digest(fingerprint, body))
            _replace(beside, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OutputError(
                    f"{self.folder}: the disk is full; free some room and run the same command again, it goes on"
                ) from None
            if error.errno == errno.ENOENT:
                raise OutputError(
                    f"{self.folder}: its folder vanished meanwhile; make it again and run the same command again"
                ) from None
            raise OutputError(
                f"{path}: cannot be written: {error.strerror}; mend that and run the same command again, it goes on"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()

    def get(self, fingerprint: str) -> dict[Name, bytes] | None:
        """Give a block's encoded tiles; None when there is no such block, or its file is damaged."""
        try:
            data = self.path(fingerprint).read_bytes()
        except OSError:
            return None
        body, digest = data[:-16], data[-16:]
        if not body.startswith(_HEAD) or _digest(fingerprint, body) != digest:
            return None
        at = len(_HEAD) + 8
        length = int.from_bytes(body[at - 8 : at], "little")
        index = json.loads(body[at : at + length])
        at += length
        tiles = {}
        for kind, column, row, size in index:
            tiles[kind, column, row] = body[at : at + size]
            at += size
        return tiles

    def has(self, fingerprint: str) -> bool:
        """Tell whether a block's file is there; :meth:`get` tells whether it is whole."""
        return self.path(fingerprint).is_file()

    def drop(self, fingerprint: str) -> None:
        """Delete a block."""
        path = self.path(fingerprint)
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _digest(fingerprint: str, body: bytes) -> bytes:
    """Digest a block's bytes with its name, so that another block's file under that name is found out."""
    return hashlib.blake2b(body, digest_size=16, key=fingerprint.encode()).digest()


def _replace(beside: Path, path: Path) -> None:
    """Rename a file; a folder that somebody left under its name gives way."""
    try:
        os.replace(beside, path)
    except IsADirectoryError:
        shutil.rmtree(path)
        os.replace(beside, path)
