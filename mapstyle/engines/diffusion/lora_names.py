"""Names in LoRA files: which part of which layer of which net a key means, and which block of the UNet that is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mapstyle.errors import StyleError, nearest

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
NETS: Mapping[str, str] = {
    "lora_unet_": UNET, "lora_te1_": TEXT, "lora_te2_": TEXT_2,
    "unet.": UNET, "text_encoder.": TEXT, "text_encoder_2.": TEXT_2,
}  # fmt: skip
"""Nets by the beginnings of keys: Kohya's and CivitAI's, then those of diffusers and peft."""
PARTS: Mapping[str, tuple[str, str]] = {
    **{f"{name}.weight": ("lora", "down") for name in ("lora_down", "lora_A", "lora.down", "lora_linear_layer.down")},
    **{f"{name}.weight": ("lora", "up") for name in ("lora_up", "lora_B", "lora.up", "lora_linear_layer.up")},
    "lora_mid.weight": ("lora", "mid"),
    **{f"hada_{part}": ("loha", part) for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{part}": ("lokr", part) for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    "alpha": ("", "alpha"),
    "dora_scale": ("", "dora"),
    "lora_magnitude_vector": ("", "magnitude"),
    "lora_magnitude_vector.weight": ("", "magnitude"),
}
"""Kind of layer and part of it by the endings of keys; no kind where every kind has that part."""

# The first form of diffusers' own files, where the attention's processor held the LoRA.
_PROCESSOR = re.compile(r"(?:\.processor)?\.(to_[qkv]|to_out)_lora\.(down|up)\.weight$")
_TEXT_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_PLACE = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.")
_SGM_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_SGM_OUTER = {
    "conv_in": "input_blocks.0.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_SGM_MIDDLE = {"resnets.0": "middle_block.0", "attentions.0": "middle_block.1", "resnets.1": "middle_block.2"}


@dataclass(frozen=True)
class Key:
    """What a key of a LoRA file means.

    Attributes:
        net: one of :data:`UNET`, :data:`TEXT`, :data:`TEXT_2`.
        module: the layer's name as the file writes it, without what stands before and after.
        kind: ``lora``, ``loha`` or ``lokr``; empty for a part that all have.
        part: which tensor of the layer.
    """

    net: str
    module: str
    kind: str
    part: str


def parse_key(key: str) -> Key | None:
    """Take a key apart; None when it is of no form that is known."""
    start = next((start for start in NETS if key.startswith(start)), None)
    if start is None:
        return None
    net, rest = NETS[start], key.removeprefix(start)
    if (old := _PROCESSOR.search(rest)) and start.endswith("."):
        name = old[1].replace("to_out", "to_out.0") if net == UNET else _TEXT_ATTENTION[old[1]]
        rest = f"{rest[: old.start()]}.{name}.lora.{old[2]}.weight"
    for ending, (kind, part) in PARTS.items():
        if rest.endswith(f".{ending}") and (module := rest.removesuffix(f".{ending}")):
            return Key(net, module.replace(".processor.", "."), kind, part)
    return None


def unet_names(modules: Iterable[str]) -> dict[str, str]:
    """Give the UNet's module for each name a file may use: dotted, joined with "_", or of the original layout."""
    modules = list(modules)
    columns = _sgm_columns(modules)
    names = {}
    for module in modules:
        names[module] = names[module.replace(".", "_")] = module
        if sgm := _sgm_name(module, columns):
            names[sgm.replace(".", "_")] = module
    return names


def text_names(modules: Iterable[str]) -> dict[str, str]:
    """Give a text encoder's module for each name a file may use.

    Files say ``text_model.``; transformers 5.6 dropped that level from one of its two classes, so both are known.
    """
    names = {}
    for module in modules:
        short = module.removeprefix("text_model.")
        for name in (short, f"text_model.{short}"):
            names[name] = names[name.replace(".", "_")] = module
    return names


def _sgm_columns(modules: Iterable[str]) -> dict[str, str]:
    # Where things are in the original layout, which counts all resnets and samplers of one side through.
    places: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for module in modules:
        if match := _PLACE.match(module):
            places.setdefault((match[1], int(match[2])), set()).add((match[3], int(match[4])))
    columns = {}
    count = {"down": 1, "up": 0}  # input_blocks.0 is conv_in
    for side, block in sorted(places):
        kinds, here = places[side, block], "input_blocks" if side == "down" else "output_blocks"
        path = f"{side}_blocks.{block}"
        for _, i in sorted(place for place in kinds if place[0] == "resnets"):
            columns[f"{path}.resnets.{i}"] = f"{here}.{count[side]}.0"
            columns[f"{path}.attentions.{i}"] = f"{here}.{count[side]}.1"
            count[side] += 1
        if ("downsamplers", 0) in kinds:
            columns[f"{path}.downsamplers.0"] = f"{here}.{count[side]}.0"
            count[side] += 1
        if ("upsamplers", 0) in kinds:
            attends = any(kind == "attentions" for kind, _ in kinds)
            columns[f"{path}.upsamplers.0"] = f"{here}.{count[side] - 1}.{1 + attends}"
    return columns


def _sgm_name(module: str, columns: Mapping[str, str]) -> str | None:
    if module in _SGM_OUTER:
        return _SGM_OUTER[module]
    parts = module.split(".")
    if parts[0] == "mid_block":
        place, inner = _SGM_MIDDLE.get(".".join(parts[1:3])), parts[3:]
    else:
        place, inner = columns.get(".".join(parts[:4])), parts[4:]
    if place is None:
        return None
    name = ".".join(inner)
    if "resnets" in parts:
        name = _SGM_RESNET.get(name, name)
    elif "downsamplers" in parts:
        name = "op"
    return f"{place}.{name}"


def block_of(module: str) -> str:
    """Name the block of a UNet's module: ``down.2.0``, ``up.1`` (a sampler), ``mid``, or ``outer`` for the rest."""
    if module.startswith("mid_block."):
        return "mid"
    match = _PLACE.match(module)
    if match is None:
        return "outer"
    block = f"{match[1]}.{match[2]}"
    return block if match[3].endswith("samplers") else f"{block}.{match[4]}"


def check_blocks(factors: Mapping[str, float], modules: Iterable[str]) -> None:
    """Refuse factors for blocks that the UNet does not have.

    Raises:
        StyleError: a key names no block.
    """
    known = {
        ".".join(parts[: i + 1]) for module in modules for parts in [block_of(module).split(".")] for i in range(3)
    }
    for key in factors:
        if key not in known:
            raise StyleError(f"diffusion.loras.blocks: '{key}' is no block of the UNet. {nearest(key, known)}")


def block_factor(module: str, factors: Mapping[str, float]) -> float:
    """Look up the factor of a UNet's module: that of the longest key that holds it, else 1."""
    block = block_of(module)
    while block not in factors and "." in block:
        block = block.rpartition(".")[0]
    return factors.get(block, 1.0)
