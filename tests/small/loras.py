"""LoRA files for the small SDXL in the key styles of Kohya's scripts and of peft, with what each adds to the weights."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from small import nets
from small.fill import uniform
from small.sgm import unet_name

RANK = 4
ALPHA = 1.0
BLOCK = "up_blocks.0.attentions.1."  # 102 modules, as many as there are in any attention of depth ten
TRIGGER = "paper cut style"

KINDS: Mapping[str, re.Pattern[str]] = {
    "attention": re.compile(r".*\.attn[12]\.(to_[qkv]|to_out\.0)"),
    "linear": re.compile(r".*\.(ff\.net\.(0\.proj|2)|proj_in|proj_out)"),
    "conv": re.compile(r".*\.resnets\.\d\.(conv1|conv2|time_emb_proj|conv_shortcut)|.*samplers\.0\.conv"),
    "outer": re.compile(r"conv_in|conv_out|(time|add)_embedding\.linear_[12]"),
    "text": re.compile(r".*\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])"),
}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Made:
    """A LoRA file that was written.

    Attributes:
        path: the file.
        deltas: what it adds at weight 1, as float64 tensors in the weights' shapes, by "part.module": the part is
            ``unet``, ``text_encoder`` or ``text_encoder_2``, the module as the loaded network names it.
    """

    path: Path
    deltas: Mapping[str, Any]


def add_by_hand(loaded: Any, made: Made, weight: float = 1.0) -> None:
    """Add a LoRA's deltas to networks that have ``unet`` and both text encoders as attributes."""
    for name, delta in made.deltas.items():
        part, module = name.split(".", 1)
        parameter = getattr(loaded, part).get_submodule(module).weight
        parameter.data.copy_(parameter.double() + weight * delta)


@cache
def _every_module() -> Mapping[str, tuple[int, ...]]:
    """Shapes of all weights that a LoRA may change, by "part.module"."""
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel(**nets.UNET),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**nets.TEXT)),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**nets.TEXT_2)),
        }
    return {
        f"{part}.{key.removesuffix('.weight')}": tuple(value.shape)
        for part, net in parts.items()
        for key, value in net.state_dict().items()
        if key.endswith(".weight")
    }


def modules(*kinds: str, inside: str = "") -> Shapes:
    """Choose weights by ``KINDS``; ``inside`` narrows the UNet's to the modules that begin with it."""
    chosen = {}
    for name, shape in _every_module().items():
        part, module = name.split(".", 1)
        if part == "unet" and not module.startswith(inside):
            continue
        if any(KINDS[kind].fullmatch(module) and (kind == "text") == (part != "unet") for kind in kinds):
            chosen[name] = shape
    return chosen


def kohya_name(name: str) -> str:
    """Name a module as Kohya's scripts do, by the original layout."""
    part, module = name.split(".", 1)
    if part == "unet":
        return "lora_unet_" + unet_name(module).replace(".", "_")
    text = "text_model." + module.removeprefix("text_model.")
    return f"lora_te{2 if part == 'text_encoder_2' else 1}_" + text.replace(".", "_")


def kohya_name_of_diffusers(name: str) -> str:
    """Name a module as Kohya's scripts do, but with the blocks of diffusers, as several few-step LoRAs have it."""
    part, module = name.split(".", 1)
    return "lora_unet_" + module.replace(".", "_") if part == "unet" else kohya_name(name)


def peft_name(name: str) -> str:
    """Name a module as diffusers saves peft's layers; text encoders as they were called before transformers 5."""
    part, module = name.split(".", 1)
    return name if part == "unet" else f"{part}.text_model." + module.removeprefix("text_model.")


def factors(name: str, shape: tuple[int, ...], rank: int, seed: int, gain: float = 1.0) -> tuple[Any, Any]:
    """Draw the two factors of a delta, down (float32[rank, in, ...]) and up (float32[out, rank, 1...]).

    At gain 1 their product is as large as the weights themselves.
    """
    import torch

    ones = (1,) * (len(shape) - 2)
    width = 1
    for side in shape[1:]:
        width *= side
    down = uniform(name + ".down", (rank, *shape[1:]), seed) * (3.0 / width) ** 0.5
    up = uniform(name + ".up", (shape[0], rank, *ones), seed) * gain * (3.0 / rank) ** 0.5
    return torch.from_numpy(down).float(), torch.from_numpy(up).float()


def product(down: Any, up: Any, scale: float) -> Any:
    """Multiply the factors in float64: scale · up @ down, in the shape of the weight."""
    delta = scale * (up.double().flatten(1) @ down.double().flatten(1))
    return delta.reshape(up.shape[0], *down.shape[1:])


def kohya_header(name: str, **more: str) -> dict[str, str]:
    """Write a header as Kohya's scripts do for SDXL."""
    header = {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(ALPHA),
        "ss_output_name": name,
        "ss_tag_frequency": json.dumps({"10_cut": {TRIGGER: 40, "a town": 12}}),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": name,
        "modelspec.trigger_phrase": TRIGGER,
        "modelspec.license": "openrail++",
    }
    return {**header, **more}


def write_kohya(
    path: Path,
    shapes: Shapes,
    *,
    name_of: Callable[[str], str] = kohya_name,
    rank: int | None = RANK,
    alpha: float | None = ALPHA,
    dtype: str = "float32",
    seed: int = 0,
    header: Mapping[str, str] | None = None,
) -> Made:
    """Write a file with Kohya's keys.

    Args:
        path: of the file; its stem is the LoRA's name.
        shapes: of the weights it changes, see ``modules``.
        name_of: turns "part.module" into Kohya's name.
        rank: of all deltas; None for 1, 2, 3, 4, 1, ... in turn.
        alpha: None leaves it out, which means the rank.
        dtype: what the values are rounded to, as torch calls it.
        seed: of the values.
        header: instead of the usual one.
    """
    import torch

    tensors, deltas = {}, {}
    for place, (name, shape) in enumerate(shapes.items()):
        here = rank or 1 + place % 4
        pair = factors(name, shape, here, seed, _gain(alpha))
        down, up = (value.to(getattr(torch, dtype)) for value in pair)
        key = name_of(name)
        tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = down, up
        if alpha is not None:
            tensors[f"{key}.alpha"] = torch.tensor(alpha, dtype=down.dtype)
        deltas[name] = product(down, up, (here if alpha is None else alpha) / here)
    save(path, tensors, kohya_header(path.stem) if header is None else header)
    return Made(path, deltas)


def write_peft(
    path: Path,
    shapes: Shapes,
    *,
    name_of: Callable[[str], str] = peft_name,
    ends: tuple[str, str] = (".lora_A.weight", ".lora_B.weight"),
    alpha: float | None = None,
    seed: int = 0,
    header: Mapping[str, str] | None = None,
) -> Made:
    """Write a file with the keys that diffusers gives peft's layers.

    Args:
        path: of the file.
        shapes: of the weights it changes, see ``modules``.
        name_of: turns "part.module" into the key's beginning.
        ends: of the keys, down and up.
        alpha: None for the rank; else it is told in the header, the only place these files have for it.
        seed: of the values.
        header: instead of the usual one.
    """
    tensors, deltas = {}, {}
    for name, shape in shapes.items():
        down, up = factors(name, shape, RANK, seed, _gain(alpha))
        tensors[name_of(name) + ends[0]], tensors[name_of(name) + ends[1]] = down, up
        deltas[name] = product(down, up, (RANK if alpha is None else alpha) / RANK)
    usual = {"format": "pt"} if alpha is None else {"format": "pt", "lora_adapter_metadata": _adapters(shapes, alpha)}
    save(path, tensors, usual if header is None else header)
    return Made(path, deltas)


def _gain(alpha: float | None) -> float:
    """Keep a LoRA that has no alpha about as strong as one with ``ALPHA``."""
    return ALPHA / RANK if alpha is None else 1.0


def _adapters(shapes: Shapes, alpha: float) -> str:
    """Tell rank, alpha and modules of each part as diffusers writes them."""
    from peft import LoraConfig

    settings: dict[str, Any] = {}
    for part in sorted({name.split(".", 1)[0] for name in shapes}):
        aims = [name.split(".", 1)[1] for name in shapes if name.startswith(part + ".")]
        for key, value in LoraConfig(r=RANK, lora_alpha=alpha, target_modules=aims).to_dict().items():
            settings[f"{part}.{key}"] = sorted(value) if isinstance(value, set) else value
    return json.dumps(settings)


def save(path: Path, tensors: Mapping[str, Any], header: Mapping[str, str]) -> Path:
    """Write a safetensors file."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata=dict(header) or None)
    return path


def write_good(folder: Path) -> dict[str, Made]:
    """Write the LoRAs that an SDXL loader has to take, by name."""
    block = modules("attention", "linear", inside=BLOCK)
    other = modules("attention", "linear", inside="down_blocks.1.attentions.0.")
    text = modules("text")
    places = modules("attention", "linear", "conv", inside="up_blocks.0.")
    every = modules("attention", "linear", "conv", "outer", "text")

    def kohya(name: str, shapes: Shapes, seed: int, **more: Any) -> Made:
        return write_kohya(folder / f"{name}.safetensors", shapes, seed=seed, **more)

    def peft(name: str, shapes: Shapes, seed: int, **more: Any) -> Made:
        return write_peft(folder / f"{name}.safetensors", shapes, seed=seed, **more)

    files: Iterable[Made] = (
        kohya("kohya-block", block, 1),
        kohya("kohya-other-block", other, 2),
        kohya("kohya-full", modules("attention", "linear", "text"), 3),
        kohya("kohya-locon", modules("attention", "linear", "conv"), 4),
        kohya("kohya-outer", {**block, **modules("outer")}, 5),
        kohya("kohya-diffusers-names", places, 6, name_of=kohya_name_of_diffusers),
        kohya("kohya-no-alpha", block, 7, alpha=None),
        kohya("kohya-half", block, 8, dtype="float16"),
        kohya("kohya-bfloat16", block, 16, dtype="bfloat16"),
        kohya("kohya-ranks", block, 9, rank=None, alpha=0.5),
        kohya("kohya-text", text, 10),
        kohya("kohya-no-header", block, 11, header={}),
        peft("peft-block", block, 12),
        peft("peft-full", every, 13),
        peft("peft-alpha", {**block, **text}, 14, alpha=2.0),
        peft("peft-old-names", block, 15, ends=(".lora.down.weight", ".lora.up.weight")),
    )
    return {made.path.stem: made for made in files}
