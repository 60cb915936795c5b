"""Name work by what decides its pixels."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


def fingerprint(*things: Any) -> str:
    """Digest ``things`` (settings, numbers, text, arrays, files by content) to 32 hex digits.

    A :class:`~pathlib.Path` stands for the bytes of its file, never for its name.
    """
    digest = hashlib.blake2b(digest_size=16)
    for thing in things:
        _feed(digest, thing)
    return digest.hexdigest()


def stable_id(text: str) -> int:
    """Hash text to an unsigned 64-bit number that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _feed(digest: "hashlib.blake2b", thing: Any) -> None:
    if isinstance(thing, Path):
        digest.update(b"file")
        with thing.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    elif isinstance(thing, np.ndarray):
        digest.update(f"array{thing.dtype.str}{thing.shape}".encode())
        digest.update(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, bytes):
        digest.update(b"bytes" + len(thing).to_bytes(8, "little") + thing)
    else:
        text = json.dumps(_plain(thing), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        digest.update(b"json" + len(text).to_bytes(8, "little") + text.encode())


def _plain(thing: Any) -> Any:
    if isinstance(thing, BaseModel):
        return [type(thing).__name__, _plain(thing.model_dump())]
    if is_dataclass(thing) and not isinstance(thing, type):
        return [type(thing).__name__, _plain(asdict(thing))]
    if isinstance(thing, Enum):
        return thing.value
    if isinstance(thing, Mapping):
        return {str(k): _plain(v) for k, v in thing.items()}
    if isinstance(thing, (set, frozenset)):
        return sorted((_plain(v) for v in thing), key=repr)
    if isinstance(thing, Iterable) and not isinstance(thing, str):
        return [_plain(v) for v in thing]
    if isinstance(thing, np.generic):
        return thing.item()
    return thing
