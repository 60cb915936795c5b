"""Hashes of weights, by the names under which people look them up; large files are hashed once."""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mapstyle.engines.diffusion.headers import MAX_HEADER
from mapstyle.errors import EngineError

CHUNK = 1 << 22
FILE = "hashes.json"


@dataclass(frozen=True)
class Digests:
    """Hashes of one file.

    Attributes:
        sha256: of the whole file, 64 hex digits.
        autov3: what CivitAI and A1111 call so, 12 hex digits; empty for anything but ``.safetensors``.
    """

    sha256: str
    autov3: str = ""

    @property
    def autov2(self) -> str:
        """A1111's "Model hash": the first 10 digits of the whole file's SHA-256."""
        return self.sha256[:10]


def digest_file(path: Path, progress: Callable[[int], None] = lambda _: None) -> Digests:
    """Hash a file, reading it once.

    AutoV3 is the SHA-256 of a safetensors file without its header (the first ``8 + n`` bytes, where the first 8 are
    ``n``, little-endian); ``sshs_model_hash``, which kohya's trainer leaves in the metadata, goes before it. Only the
    first 12 digits are used (stable-diffusion-webui, ``modules/hashes.py`` and ``modules/network.py``).

    Args:
        path: the file.
        progress: is told how many more bytes were read.
    """
    whole, body = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        header = _header(file.read(8), file.read) if path.suffix == ".safetensors" else None
        if header is None:
            file.seek(0)
        else:
            whole.update(len(header).to_bytes(8, "little") + header)
        while chunk := file.read(CHUNK):
            whole.update(chunk)
            if header is not None:
                body.update(chunk)
            progress(len(chunk))
    if header is None:
        return Digests(whole.hexdigest())
    return Digests(whole.hexdigest(), _carried(header) or body.hexdigest()[:12])


def digest_folder(digests: Sequence[str]) -> str:
    """Hash a folder: the SHA-256 of its files' SHA-256 (as bytes), in the order of the files' names."""
    return hashlib.sha256(b"".join(bytes.fromhex(d) for d in digests)).hexdigest()


class Hashes:
    """Hashes that were found before, kept as long as a file's size and time of change stay the same."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def of(self, path: Path, anew: bool = False) -> Digests:
        """Give a file's hashes; ``anew`` reads it even if nothing seems to have changed."""
        real = Path(os.path.realpath(path))
        before = real.stat()
        stamp = {"size": before.st_size, "mtime_ns": before.st_mtime_ns}
        kept = self._read().get(str(real))
        if not anew and kept is not None and all(kept.get(k) == v for k, v in stamp.items()):
            with suppress(KeyError, TypeError):
                return Digests(str(kept["sha256"]), str(kept["autov3"]))
        found = digest_file(path)
        after = real.stat()
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            self._keep(str(real), {**stamp, **asdict(found)})
        return found

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # what is lost here costs time, nothing else
        return {k: v for k, v in kept.items() if isinstance(v, dict)} if isinstance(kept, dict) else {}

    def _keep(self, path: str, what: dict[str, Any]) -> None:
        with suppress(OSError, EngineError):  # a folder that cannot be written costs time, nothing else
            known = {k: v for k, v in self._read().items() if os.path.exists(k)}
            write_json(self._file, {**known, path: what})


def write_json(file: Path, what: Any) -> None:
    """Write JSON for people and programs, all of it or nothing.

    Raises:
        EngineError: the folder cannot be made or written, or the disk is full.
    """
    beside = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(what, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise EngineError(
            f"{file}: cannot be written ({error.strerror}); set MAPSTYLE_MODELS to a folder that can"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink()


def _header(length: bytes, read: Callable[[int], bytes]) -> bytes | None:
    """Read a safetensors header; None when this is not one."""
    size = int.from_bytes(length, "little")
    if len(length) < 8 or not 2 <= size <= MAX_HEADER:
        return None
    header = read(size)
    return header if len(header) == size else None


def _carried(header: bytes) -> str:
    """Give the hash that the metadata of a safetensors file carries, if it carries one."""
    try:
        metadata = json.loads(header).get("__metadata__", {})
        carried = str(metadata.get("sshs_model_hash", "")).lower()
    except (ValueError, AttributeError, RecursionError):
        return ""
    head = carried[:12]
    return head if len(head) == 12 and set(head) <= set("0123456789abcdef") else ""
