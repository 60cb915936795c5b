"""Headers of ``.safetensors`` files: which tensors, what shapes, what its maker says; read before any weight is."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mapstyle.errors import EngineError

MAX_HEADER = 100_000_000
"""Bytes of header beyond which a file is refused (the limit of the format's own reader)."""
BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits an element takes, by the format's names of types."""
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
"""Types that weights may be stored in; the others are quantised and mean nothing without their scales."""

_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
_INDEX = ".safetensors.index"
_STEMS = ("diffusion_pytorch_model", "model")


@dataclass(frozen=True)
class TensorInfo:
    """What a header says about one tensor; ``dtype`` is one of :data:`BITS`."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What can be known of weights without reading them.

    Attributes:
        tensors: by name.
        metadata: what the maker wrote, such as ``ss_base_model_version``; hostile text.
        size: bytes of the file, or of all shards.
        paths: the files, more than one when the weights are in shards.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    size: int
    paths: tuple[Path, ...]


def read_header(path: Path) -> Header:
    """Read the header of a ``.safetensors`` file, of an index of shards, or of the weights of a model's folder.

    Nothing of the file is trusted: the header has to describe every byte that follows it, once.

    Raises:
        EngineError: missing, a pickle, no safetensors file, truncated, or with a header that lies.
    """
    if path.is_dir():
        path = weights_of(path)
    if path.name.endswith(".json"):
        return _read_shards(path)
    if path.suffix.lower() in _PICKLES:
        raise EngineError(
            f"{path}: a pickle file can run any code when it is read; "
            "convert it to .safetensors (for instance with diffusers' convert scripts) or take its .safetensors twin"
        )
    if path.suffix.lower() != ".safetensors":
        raise EngineError(f"{path}: only .safetensors files are read, and this is none by its name")
    return _read_file(path)


def weights_of(folder: Path) -> Path:
    """Find a model folder's weights: one file or an index of shards, half precision when that is all there is."""
    for stem in _STEMS:
        for variant in ("", ".fp16", ".bf16"):
            names = (f"{stem}{variant}.safetensors", f"{stem}{_INDEX}{variant}.json")
            there = [folder / name for name in names if (folder / name).is_file()]
            # The libraries do not agree on which of the two they would take.
            if len(there) == 2:
                raise EngineError(f"{folder}: holds both {names[0]} and shards of it; remove one of them")
            if there:
                return there[0]
    if not folder.is_dir():
        raise EngineError(f"{folder}: no such folder of weights")
    if pickles := sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _PICKLES):
        raise EngineError(
            f"{folder}: holds only the pickle file {pickles[0]}, which can run any code when it is read; "
            "take the model's .safetensors files"
        )
    raise EngineError(
        f"{folder}: no {_STEMS[0]}.safetensors or {_STEMS[1]}.safetensors in it; its download is incomplete"
    )


def variant_of(weights: Path) -> str | None:
    """Name the variant that :func:`weights_of` found, as diffusers calls it: ``fp16``, or None."""
    parts = weights.name.removesuffix(".json").removesuffix(".safetensors").split(".")
    return parts[-1] if parts[-1] in ("fp16", "bf16") else None


def check_fits(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, TensorInfo],
    what: str,
    ignore: Callable[[str], bool] = lambda name: False,
    spare: bool = False,
) -> None:
    """Refuse weights that do not fill a model exactly.

    Args:
        expected: shapes by name that the model has.
        found: what the file has.
        what: the file and the part, for the message.
        ignore: tells names that may be there or not.
        spare: whether tensors that the model has no use for are fine.
    """
    missing = [name for name in expected if name not in found and not ignore(name)]
    if missing:
        raise EngineError(
            f"{what}: {len(missing)} of {len(expected)} tensors are missing, such as {missing[0]}; "
            "it is damaged or of another architecture"
        )
    wrong = [name for name in expected if name in found and found[name].shape != expected[name]]
    if wrong:
        name = wrong[0]
        raise EngineError(
            f"{what}: {len(wrong)} of {len(expected)} tensors have another shape, such as {name}, "
            f"{_told(found[name].shape)} instead of {_told(expected[name])}; it is of another architecture"
        )
    if quantised := [name for name in expected if name in found and found[name].dtype not in FLOATS]:
        name = quantised[0]
        raise EngineError(
            f"{what}: {len(quantised)} tensors are quantised, such as {name} ({found[name].dtype}); "
            "take the model's fp16 or fp32 file"
        )
    extra = [name for name in found if name not in expected and not ignore(name)]
    if extra and not spare:
        raise EngineError(
            f"{what}: {len(extra)} tensors have no place in the model, such as {_short(extra[0])}; "
            "it is of another architecture"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from outside: no duplicates, no endless nesting, 20 MB at most."""
    try:
        if path.stat().st_size > 20_000_000:
            raise EngineError(f"{path}: too large for a JSON file of settings")
        return _parse(path.read_bytes())
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{path}: is not a JSON object; download it again") from error


def _read_shards(path: Path) -> Header:
    index = read_json(path)
    if _INDEX not in path.name:
        raise EngineError(f"{path}: not an index of shards; name the .safetensors file or the model's folder")
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise EngineError(f"{path}: an index of shards without a weight_map; download it again")
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    size, paths = 0, []
    for name in sorted({str(place) for place in places.values()}):
        # An index may not send us to other places of the disk.
        if "/" in name or "\\" in name or not name.endswith(".safetensors"):
            raise EngineError(f"{path}: names {_short(name)}, which is no shard beside it")
        shard = _read_file(path.parent / name)
        if twice := [tensor for tensor in shard.tensors if tensor in tensors]:
            raise EngineError(f"{path}: {_short(twice[0])} is in two shards; download them again")
        tensors |= shard.tensors
        metadata |= shard.metadata
        size += shard.size
        paths.append(path.parent / name)
    if lost := [tensor for tensor in places if tensor not in tensors]:
        raise EngineError(
            f"{path}: no shard holds {len(lost)} of its tensors, such as {_short(lost[0])}; download them again"
        )
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), size, tuple(paths))


def _read_file(path: Path) -> Header:
    # The format: 8 bytes of length (little-endian), that many bytes of JSON, then the tensors without gaps
    # (https://github.com/huggingface/safetensors#format).
    try:
        if not path.is_file():
            raise EngineError(f"{path}: no such file")
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if len(first) < 8 or length < 2 or length > MAX_HEADER:
                raise EngineError(f"{path}: is not a .safetensors file, whatever its name says; download it again")
            if 8 + length > size:
                raise EngineError(f"{path}: ends inside its header; the download was cut short: download it again")
            text = file.read(length)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        table = _parse(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{path}: is not a .safetensors file (its header is not JSON); download it again") from error
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise EngineError(f"{path}: its metadata is not text; download it again")
    tensors, spans = {}, []
    for name, entry in table.items():
        tensors[name], span = _entry(path, name, entry)
        spans.append((*span, name))
    _check_spans(path, sorted(spans), size - 8 - length)
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), size, (path,))


def _entry(path: Path, name: str, entry: Any) -> tuple[TensorInfo, tuple[int, int]]:
    lie = EngineError(f"{path}: its header tells nonsense about {_short(name)}; download it again")
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise lie
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or len(shape) > 32:
        raise lie
    if not isinstance(dtype, str) or dtype not in BITS:
        raise EngineError(f"{path}: {_short(name)} is of the unknown type {_short(str(dtype))}")
    if prod(shape) * BITS[dtype] != (offsets[1] - offsets[0]) * 8:
        raise lie
    return TensorInfo(dtype, tuple(shape)), (offsets[0], offsets[1])


def _check_spans(path: Path, spans: list[tuple[int, int, str]], size: int) -> None:
    end = 0
    for begin, stop, name in spans:
        if begin != end:
            told = "overlaps another tensor" if begin < end else "comes after a gap"
            raise EngineError(f"{path}: {_short(name)} {told}; the file is damaged: download it again")
        end = stop
    if end > size:
        raise EngineError(
            f"{path}: {end - size:,} bytes are missing at its end; the download was cut short: download it again"
        )
    if end < size:
        raise EngineError(f"{path}: {size - end:,} bytes too many at its end; the file is damaged: download it again")


def _parse(text: bytes) -> dict[str, Any]:
    table = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(table, dict):
        raise ValueError("not an object")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key comes twice")
    return table


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _told(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _short(text: str) -> str:
    """Cut a hostile name so that it fits in one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])
