"""LoRA files: read whole and understood, or refused by name with the reason."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mapstyle.engines.diffusion.headers import FLOATS, Header, read_header
from mapstyle.engines.diffusion.lora_names import NETS, UNET, parse_key
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    import torch

FAMILIES: Mapping[int, str] = {768: "SD 1", 1024: "SD 2", 1280: "the SDXL refiner", 2048: "SDXL"}
"""Bases by how many values of a word their cross-attention reads."""

_SDXL = re.compile(r"sd[-_ ]?xl|stable[-_ ]?diffusion[-_ ]?xl|pony|illustrious|noob")
_UNSAID = ("", "none", "null", "unknown", "custom", "other")
_OTHER_BASES = (
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux"),
    (r"joint_blocks|^lora_te3_|^text_encoder_3\.", "Stable Diffusion 3"),
    (r"^transformer\.|^lora_transformer_", "a diffusion transformer such as Flux or Stable Diffusion 3"),
    (r"^lora_te_", "Stable Diffusion 1 or 2, which have one text encoder"),
    (r"^lora_prior_|^prior\.", "Stable Cascade"),
    (r"motion_modules", "AnimateDiff"),
)
_OTHER_KINDS = (
    (r"^(model\.diffusion_model|first_stage_model|conditioner|cond_stage_model)\.", "a whole checkpoint"),
    (r"^lllite_", "ControlNet-LLLite"),
    (r"^lora_controlnet", "Control-LoRA"),
    (r"^bundle_emb\.", "a LoRA with bundled embeddings"),
    (r"^(emb_params|clip_[lg])$", "an embedding (textual inversion)"),
    (r"\.(oft_|boft_)", "OFT"),
    (r"\.[ab][12]\.weight$", "GLoRA"),
    (r"\.on_input$|\.ia3_l|^lora_[a-z0-9_]+\.weight$", "IA3"),
    (r"\.[wb]_norm$", "a LoRA with differences of norms"),
    (r"\.diff(_b)?$", "whole differences of weights"),
    (r"\.lora_embedding_[AB]", "a LoRA on word embeddings"),
    (r"\.(lora_up|lora_B|lora\.up)\.bias$", "a LoRA with biases"),
)
_CONTEXT = re.compile(r"attn2[._]to_[kv]$")
_WHOLE_OR_SPLIT = ({"w1"}, {"w1_a", "w1_b"}), ({"w2"}, {"w2_a", "w2_b"}, {"w2_a", "w2_b", "t2"})
_COMPLETE: Mapping[str, frozenset[frozenset[str]]] = {
    "": frozenset(),
    "lora": frozenset({frozenset({"down", "up"}), frozenset({"down", "up", "mid"})}),
    "loha": frozenset(
        {frozenset({"w1_a", "w1_b", "w2_a", "w2_b"}), frozenset({"w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2"})}
    ),
    "lokr": frozenset(frozenset(a | b) for a in _WHOLE_OR_SPLIT[0] for b in _WHOLE_OR_SPLIT[1]),
}
_TITLES = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr"}
# Ways of training that begin by changing the base: their deltas belong on a base that nobody else has.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class Layer:
    """What a file says about one layer of a net.

    Attributes:
        net: which net, one of ``lora_names``' three.
        module: the layer's name as the file writes it.
        kind: ``lora`` (LoCon too), ``loha`` or ``lokr``.
        parts: factors by the names of ``lora_names.PARTS``.
        scale: what the product of the factors is multiplied with: alpha / rank.
        shape: of that product.
    """

    net: str
    module: str
    kind: str
    parts: Mapping[str, "torch.Tensor"]
    scale: float
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file that has been read and understood to the last key.

    Attributes:
        path: where it is.
        layers: all of it.
        context: how many values of a word its cross-attention reads; None when it leaves that alone.
        title: what its maker calls it, else the file's name.
        trigger: words that its maker says call it up; often empty.
        licence: as its maker states it; often empty.
    """

    path: Path
    layers: tuple[Layer, ...]
    context: int | None
    title: str
    trigger: str
    licence: str

    @property
    def nets(self) -> frozenset[str]:
        """Which nets it changes."""
        return frozenset(layer.net for layer in self.layers)


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA; the header comes first, and nothing else is read of a file that cannot be used.

    Raises:
        EngineError: no safetensors file, for another base, of a kind that is not supported, or damaged.
    """
    if path.is_dir():
        raise EngineError(f"{path}: is a folder; name the LoRA's .safetensors file in it")
    header = read_header(path)
    _check_base(path, header.metadata)
    _check_kind(path, header)
    drafts = _gather(path, header)
    products = {
        place: _product_shape(
            f"{path}: the layer {_short(place[1])}",
            kind,
            {part: header.tensors[key].shape for part, key in keys.items()},
        )
        for place, (kind, keys) in drafts.items()
    }
    scales = _peft_scales(path, header.metadata)
    tensors = _load(path)
    layers = []
    for (net, module), (kind, keys) in drafts.items():
        shape, rank = products[net, module]
        parts = {part: tensors[key] for part, key in keys.items()}
        alpha = parts.pop("alpha", None)
        # A LoKr of two whole factors has no rank, and its alpha means nothing (LyCORIS: "use scale = 1").
        given = 1.0 if rank is None or alpha is None else float(alpha) / rank
        scale = scales[net](module, rank) if alpha is None and net in scales else given
        layers.append(Layer(net, module, kind, MappingProxyType(parts), scale, shape))
    if not any(_changes(layer) for layer in layers):
        raise EngineError(f"{path}: changes nothing, all its differences are zero; it was saved before it was trained")
    said = header.metadata
    return LoraFile(
        path=path,
        layers=tuple(layers),
        context=next((layer.shape[1] for layer in layers if layer.net == UNET and _CONTEXT.search(layer.module)), None),
        title=_clean(said.get("modelspec.title", "")) or _clean(said.get("ss_output_name", "")) or path.stem,
        trigger=_clean(said.get("modelspec.trigger_phrase", "")),
        licence=_clean(said.get("modelspec.license", "")),
    )


def _check_base(path: Path, metadata: Mapping[str, str]) -> None:
    for key in ("ss_base_model_version", "modelspec.architecture"):
        told = _clean(metadata.get(key, ""))
        if told.lower() in _UNSAID:
            continue
        if not _SDXL.search(told.lower()) or "refiner" in told.lower():
            raise EngineError(f"{path}: made for '{told[:60]}' ({key} in its metadata); take a LoRA made for SDXL")


def _check_kind(path: Path, header: Header) -> None:
    if not header.tensors:
        raise EngineError(f"{path}: holds no weights; download it again")
    for pattern, kind in _OTHER_KINDS:
        if key := next((key for key in header.tensors if re.search(pattern, key)), None):
            raise EngineError(
                f"{path}: is {kind} ({_short(key)}), which cannot be used here; take a LoRA, LoCon, LoHa, LoKr or DoRA"
            )
    for pattern, base in _OTHER_BASES:
        if key := next((key for key in header.tensors if re.search(pattern, key)), None):
            raise EngineError(f"{path}: made for {base} ({_short(key)}); take a LoRA made for SDXL")


def _gather(path: Path, header: Header) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """Sort keys by layer: net and module, then the kind, and the keys by part."""
    drafts: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
    for name, info in header.tensors.items():
        key = parse_key(name)
        if key is None:
            starts = ", ".join(NETS)
            raise EngineError(f"{path}: {_short(name)} is no key of an SDXL LoRA; they begin with {starts}")
        if info.dtype not in FLOATS and key.part != "alpha":
            raise EngineError(f"{path}: {_short(name)} is quantised ({info.dtype}); take the LoRA's fp16 or fp32 file")
        kind, keys = drafts.setdefault((key.net, key.module), ("", {}))
        if key.part in keys or (key.kind and kind and key.kind != kind):
            raise EngineError(f"{path}: says two things about the layer {_short(key.module)} ({_short(name)})")
        keys[key.part] = name
        drafts[key.net, key.module] = (kind or key.kind, keys)
    return drafts


def _load(path: Path) -> dict[str, "torch.Tensor"]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise EngineError(f"{path}: cannot be read ({_clean(str(error))[:100]})") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise EngineError(f"{path}: {_short(name)} holds NaN or infinity; the file is damaged")
    return tensors


def _product_shape(where: str, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], int | None]:
    """Give the shape of a layer's product, and the rank that alpha is divided by.

    Raises:
        EngineError: factors that are missing, too many, or do not fit each other.
    """
    factors = {part: shape for part, shape in shapes.items() if part not in ("alpha", "dora", "magnitude")}
    if not factors or frozenset(factors) not in _COMPLETE[kind]:
        told = ", ".join(sorted(factors)) or "no factor"
        raise EngineError(f"{where} has {told} of a {_TITLES.get(kind, 'LoRA')} and the rest is missing")
    wrong = EngineError(f"{where} is made of factors whose shapes do not go together")
    if math.prod(shapes.get("alpha", ())) != 1 or any(0 in shape for shape in shapes.values()):
        raise wrong
    try:
        if kind == "lora":
            down, up = factors["down"], factors["up"]
            shape = _chain(up, down) if "mid" not in factors else _core(_turned(up), down, factors["mid"])
            return shape, down[0]
        if kind == "loha":
            first, second = (_low_rank(factors, n) for n in ("w1", "w2"))
            if first != second:
                raise wrong
            return first, factors["w1_b"][0]
        first, second = (factors.get(n) or _low_rank(factors, n) for n in ("w1", "w2"))
        if len(first) != 2 or len(second) not in (2, 4):
            raise wrong
        rank = next((factors[part][0] for part in ("w2_b", "w1_b") if part in factors), None)
        return (first[0] * second[0], first[1] * second[1], *second[2:]), rank
    except (IndexError, ValueError):
        raise wrong from None


def _low_rank(factors: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    a, b, core = factors[f"{name}_a"], factors[f"{name}_b"], factors.get(f"t{name[1]}")
    return _chain(a, b) if core is None else _core(a, b, core)


def _chain(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    # a[out, rank] @ b[rank, in, ...]; either may be written as the kernel of a convolution.
    if len(a) not in (2, 4) or len(b) not in (2, 4) or a[1] != b[0] or math.prod(a[2:]) != 1:
        raise ValueError
    return (a[0], *b[1:])


def _core(a: tuple[int, ...], b: tuple[int, ...], core: tuple[int, ...]) -> tuple[int, ...]:
    # a[rank, out], b[rank, in] about the core of a Tucker decomposition, core[rank, rank, height, width].
    if len(core) != 4 or core[:2] != (a[0], b[0]) or math.prod(a[2:]) != 1 or math.prod(b[2:]) != 1:
        raise ValueError
    return (a[1], b[1], *core[2:])


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[1], shape[0], *shape[2:])


def _peft_scales(path: Path, metadata: Mapping[str, str]) -> Mapping[str, "_PeftScale"]:
    """Read what diffusers' own training writes into the header instead of ``alpha`` tensors: scale by net and layer."""
    if "lora_adapter_metadata" not in metadata:
        return {}
    scales = {}
    try:
        said = json.loads(metadata["lora_adapter_metadata"])
        if not isinstance(said, dict):
            raise TypeError
        for net in {str(key).partition(".")[0] for key in said} & set(NETS.values()):
            config = {key.removeprefix(f"{net}."): value for key, value in said.items() if key.startswith(f"{net}.")}
            start = config.get("init_lora_weights")
            if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
                raise EngineError(f"{path}: was trained on a base changed by {_short(start)}, so it fits no other")
            pattern = {name: _number(value) for name, value in (config.get("alpha_pattern") or {}).items()}
            alpha, rank = _number(config.get("lora_alpha", config.get("alpha"))), _number(config["r"])
            scales[net] = _PeftScale(alpha, pattern, rank, bool(config.get("use_rslora")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise EngineError(f"{path}: lora_adapter_metadata in its metadata is not what diffusers writes") from None
    return scales


@dataclass(frozen=True)
class _PeftScale:
    """peft's rule for the scale of a layer; the first pattern that ends the layer's name counts."""

    alpha: float
    pattern: Mapping[str, float]
    rank: float
    root: bool

    def __call__(self, module: str, rank: int | None) -> float:
        found = (value for name, value in self.pattern.items() if f".{module}".endswith(f".{name}"))
        divisor = rank or max(self.rank, 1)
        return next(found, self.alpha) / (math.sqrt(divisor) if self.root else divisor)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError
    return value


def _changes(layer: Layer) -> bool:
    if "dora" in layer.parts or "magnitude" in layer.parts:
        return True
    return layer.scale != 0 and all(bool(factor.any()) for factor in layer.parts.values())


def _clean(text: str) -> str:
    """Make one line of a stranger's text, without what cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _short(text: str) -> str:
    text = _clean(text)
    return f"'{text if len(text) <= 100 else text[:97] + '...'}'"
