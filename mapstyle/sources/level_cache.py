"""Keep a level's features and seeds on disk, and load them again."""

import contextlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.layers import LayerKind
from mapstyle.placed import LabelKind, LabelSeed
from mapstyle.sources.atlas import Shape
from mapstyle.sources.features import ARRAYS, Features
from mapstyle.sources.seeds import Seeds

_SEED = ("rank", "id", "x", "y", "room", "level", "detail")


def save_level(path: Path, features: Features, seeds: Seeds) -> None:
    """Keep a level as one file; a folder that cannot be written is no error, the next run builds anew."""
    names, codes = _coded([json.dumps(n, ensure_ascii=False) for n in features.names])
    details, detail_codes = _coded(features.detail.tolist())
    known = {text: i for i, text in enumerate(names)}
    rows = []
    for seed in seeds.seeds:
        text = json.dumps(dict(seed.names), ensure_ascii=False)
        size = -1 if seed.path is None else len(seed.path)
        rows.append([seed.kind, known.setdefault(text, len(known)), size, *(getattr(seed, f) for f in _SEED)])
    told = {"layers": features.layers, "names": list(known), "details": details, "seeds": rows}
    arrays: dict[str, NDArray[Any]] = {name: getattr(features, name) for name in ARRAYS}
    paths = [s.path for s in seeds.seeds if s.path is not None]
    arrays["paths"] = np.concatenate(paths) if paths else np.zeros((0, 2))
    arrays["names"], arrays["detail"] = codes, detail_codes
    arrays["told"] = np.frombuffer(json.dumps(told, ensure_ascii=False).encode(), np.uint8)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(beside, **arrays)  # type: ignore[arg-type]
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _coded(texts: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    known: dict[str, int] = {}
    codes = np.array([known.setdefault(t, len(known)) for t in texts], np.int32)
    return list(known), codes


def load_level(path: Path) -> tuple[Features, Seeds] | None:
    """Load a level that was kept; None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        told = json.loads(arrays["told"].tobytes())
        names = _objects([json.loads(text) for text in told["names"]])
        features = Features(
            layers=tuple((LayerKind(k), Shape(s)) for k, s in told["layers"]),
            **{name: arrays[name] for name in ARRAYS},
            names=names[arrays["names"]],
            detail=_objects(told["details"])[arrays["detail"]],
        )
        seeds, start = [], 0
        for kind, name, size, *values in told["seeds"]:
            path_of = None if size < 0 else arrays["paths"][start : start + size]
            start += max(size, 0)
            fields = dict(zip(_SEED, values, strict=True))
            seeds.append(LabelSeed(kind=LabelKind(kind), names=names[name], path=path_of, **fields))
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return features, Seeds(tuple(seeds))


def _objects(values: list[Any]) -> NDArray[np.object_]:
    out = np.empty(len(values), object)
    out[:] = values
    return out
