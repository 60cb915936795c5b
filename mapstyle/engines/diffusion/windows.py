"""Finished windows: kept once, by a key that decides their values, in memory and on disk."""

import contextlib
import errno
import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import EngineError

Window = NDArray[np.float16]

FORMAT = "mapstyle windows 1\n"
"""First line of the note in a folder of windows: another version keeps them another way."""
ROOM = 1_000_000_000
"""Bytes of windows that are kept in memory."""
MOST = 40_000_000_000
"""Bytes of windows that are kept on disk; the longest unused go first."""
_HEAD = b"mapstyle-window\0"


class WindowStore:
    """Write-once windows: the first version of a key is the one everybody reads.

    Several processes may share a folder: a window is written beside its name and linked to it, so that
    it is never half there and never replaced. Without a folder, windows live in memory alone.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None] = print, room: int = ROOM) -> None:
        """Open a folder, or make it.

        Raises:
            EngineError: it holds something else, or cannot be made.
        """
        self._say = say
        self._room = room
        self._held = 0
        self._memory: OrderedDict[str, Window] = OrderedDict()
        self._lock = threading.Lock()
        self._folder = folder
        self._full = False
        if folder is not None:
            _open(folder)

    def get(self, key: str) -> Window | None:
        """Give a window, or None when nobody has made it, or when its file is damaged."""
        with self._lock:
            found = self._memory.get(key)
            if found is not None:
                self._memory.move_to_end(key)
                return found
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):  # another's folder may be for reading only
            os.utime(path)  # so that the longest unused can be told
        window = _decode(data)
        if window is None:
            # Damaged: it is made again, and this time the file may be replaced.
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        self._hold(key, window)
        return window

    def put(self, key: str, window: Window) -> Window:
        """Keep a window; gives the version that counts, which is the first one."""
        window = np.ascontiguousarray(window)
        window.flags.writeable = False
        if self._folder is not None and not self._full and not self._link(key, window):
            earlier = self.get(key)
            window = window if earlier is None else earlier
        self._hold(key, window)
        return window

    def _hold(self, key: str, window: Window) -> None:
        with self._lock:
            if key not in self._memory:
                self._memory[key] = window
                self._held += window.nbytes
            # What is on no disk can be had again only by painting: it stays.
            while self._folder is not None and not self._full and self._held > self._room and len(self._memory) > 1:
                _, gone = self._memory.popitem(last=False)
                self._held -= gone.nbytes

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / key

    def _link(self, key: str, window: Window) -> bool:
        path = self._path(key)
        beside = path.with_name(f".{secrets.token_hex(6)}")
        try:
            path.parent.mkdir(exist_ok=True)
            beside.write_bytes(_encode(window))
            os.link(beside, path)
        except FileExistsError:
            return False
        except OSError as error:
            # Nothing that was painted is lost: from here on windows stay in memory.
            why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            self._say(
                f"note: {self._folder}: no more windows can be kept there ({why}); going on in memory; "
                f"MAPSTYLE_CACHE names another place"
            )
            self._full = True  # what lies there already is still read
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
        return True


def prune(folder: Path, most: int = MOST) -> int:
    """Delete the windows that were longest unused until ``most`` bytes are left; gives the bytes deleted."""
    files = []
    with contextlib.suppress(OSError):
        for path in folder.glob("??/*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                files.append((stat.st_mtime, stat.st_size, path))
    over = sum(size for _, size, _ in files) - most
    gone = 0
    for _, size, path in sorted(files):
        if gone >= over:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            gone += size
    return gone


def _open(folder: Path) -> None:
    note = folder / "README"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Several may begin at once: whoever sees windows looks again for the note, which is there before them.
        if not note.exists() and any(not f.name.startswith(".") for f in folder.iterdir()) and not note.exists():
            raise EngineError(
                f"{folder}: is no folder of finished windows; delete it, or set MAPSTYLE_CACHE to another place"
            )
        if not note.exists():
            beside = folder / f".{secrets.token_hex(6)}"
            beside.write_text(FORMAT + "Finished windows of mapstyle's diffusion engine. Delete them when you like.\n")
            os.replace(beside, note)
        if not note.read_text().startswith(FORMAT):
            raise EngineError(f"{folder}: its windows were kept by another version of mapstyle; delete the folder")
    except OSError as error:
        raise EngineError(
            f"{folder}: windows cannot be kept there ({error.strerror}); "
            f"set MAPSTYLE_CACHE to a folder that can be written"
        ) from None


def _encode(window: Window) -> bytes:
    body = _HEAD + np.asarray(window.shape, "<i4").tobytes() + window.astype("<f2").tobytes()
    return body + hashlib.blake2b(body, digest_size=16).digest()


def _decode(data: bytes) -> Window | None:
    head = len(_HEAD)
    body, digest = data[:-16], data[-16:]
    if len(data) < head + 28 or not data.startswith(_HEAD) or hashlib.blake2b(body, digest_size=16).digest() != digest:
        return None
    shape = tuple(int(n) for n in np.frombuffer(body, "<i4", 3, head))
    return np.frombuffer(body, "<f2", -1, head + 12).reshape(shape)
