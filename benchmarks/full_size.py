"""SDXL and a union ControlNet in memory: of full size or small, with random weights or with real ones.

Speed does not depend on what weights say, so that nothing need be downloaded to measure it. Full size is the
configuration that ships with the package; small has the same modules, a fortieth as wide.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mapstyle.engines.base import Watch
from mapstyle.engines.diffusion.architecture import build, quiet
from mapstyle.engines.diffusion.fit import Fit
from mapstyle.engines.diffusion.loader import Base, load_base, load_net, load_tiny_vae, load_vae
from mapstyle.engines.diffusion.loading import Loaded
from mapstyle.engines.diffusion.lora_file import read_lora
from mapstyle.engines.diffusion.lora_merge import Merger
from mapstyle.engines.diffusion.nets import wrap_net
from mapstyle.engines.diffusion.settings import Control, Diffusion, Lattice, Net, Windows
from mapstyle.engines.diffusion.spec import DiffusionSpec
from mapstyle.engines.diffusion.vocabulary import CONFIGS

CONTROLS = (
    Control(image="edges", net="union", mode="thin-line", scale=0.8, end=0.8),
    Control(image="segmentation", net="union", mode="segment", scale=0.6, end=0.8),
)
"""Two of a union net's modes, over the first four fifths of the steps."""
_SHARED_WITH_NET = (
    "in_channels", "flip_sin_to_cos", "freq_shift", "down_block_types", "block_out_channels", "layers_per_block",
    "transformer_layers_per_block", "attention_head_dim", "norm_num_groups", "use_linear_projection",
    "cross_attention_dim", "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large the networks and the windows are.

    Attributes:
        unet: changes to SDXL's own config, as are ``vae``, ``net`` and ``tiny`` to their classes' defaults.
        texts: widths of the two text encoders.
        lattice: the windows.
    """

    name: str
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    net: Mapping[str, Any]
    tiny: Mapping[str, Any]
    texts: tuple[int, int]
    lattice: Lattice


FULL = Size(
    "full",
    unet={},
    vae={"force_upcast": False},  # as the VAE that was mended for float16 says
    net={"num_control_type": 8},
    tiny={"scaling_factor": 1.0},
    texts=(768, 1280),
    lattice=Lattice(),
)
SMALL = Size(
    "small",
    unet={
        "block_out_channels": [8, 16, 32], "attention_head_dim": [1, 1, 2], "norm_num_groups": 4,
        "transformer_layers_per_block": [1, 1, 1], "cross_attention_dim": 80, "addition_time_embed_dim": 16,
        "projection_class_embeddings_input_dim": 144,
    },
    vae={"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 4, "layers_per_block": 1, "force_upcast": False},
    net={
        "num_control_type": 8, "num_trans_channel": 8, "num_proj_channel": 8, "num_trans_head": 2,
        "conditioning_embedding_out_channels": [4, 4, 8, 8],
    },
    tiny={"encoder_block_out_channels": [8] * 4, "decoder_block_out_channels": [8] * 4, "scaling_factor": 1.0},
    texts=(32, 48),
    lattice=Lattice(
        paint=Windows(window=16, stride=12, guard=1, ramp=2), decode=Windows(window=24, stride=16, guard=2, ramp=4)
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """What a spec would load, already in memory.

    Attributes:
        size: how large, and which windows go with that.
        base: UNet, VAE, text encoders and the noise schedule.
        net: the union net, as diffusers has it.
        tiny: the tiny VAE; None when there are real weights, but not of it.
        real: whether the weights are anybody's.
    """

    size: Size
    base: Base
    net: Any
    tiny: Any
    real: bool


def random_networks(size: Size, device: str, dtype: str) -> Networks:
    """Make networks with random weights, on the device from the start; on ``meta``, with shapes alone."""
    unet = _sdxl("unet") | size.unet
    control = {key: unet[key] for key in _SHARED_WITH_NET} | size.net
    base = Base(
        unet=_filled("UNet2DConditionModel", unet, device, dtype),
        vae=_filled("AutoencoderKL", _sdxl("vae") | size.vae, device, dtype),
        text_encoders=list(_text_encoders(*size.texts)),
        tokenizers=[_numbered, _numbered],
        scheduler_config=_sdxl("scheduler"),
        force_zeros=True,
    )
    net = _filled("ControlNetUnionModel", control, device, dtype)
    return Networks(size, base, net, _filled("AutoencoderTiny", size.tiny, device, dtype), real=False)


def real_networks(
    base: str, net: str, vae: str, tiny: str, loras: Sequence[str], device: str, dtype: str, size: Size = FULL
) -> Networks:
    """Load networks through the product's own loader: checked, copied, LoRAs merged."""
    import torch

    kind = getattr(torch, dtype)
    loaded = load_base(Path(base), None, kind, text_dtype=torch.float32, vae=not vae)
    if vae:
        loaded = replace(loaded, vae=load_vae(Path(vae), kind))
    named = [lora.partition("@") for lora in loras]
    stack = [(read_lora(Path(path)), float(weight or 1), None, {}) for path, _, weight in named]
    Merger(loaded.unet, loaded.text_encoders).apply(stack)
    union = load_net(Path(net), "union", kind, base_unet_config=loaded.unet.config)
    for part in (loaded.unet, loaded.vae, union):
        part.to(device)
    return Networks(size, loaded, union, load_tiny_vae(Path(tiny), kind, device) if tiny else None, real=True)


class InMemory(Loaded):
    """What a spec loads, taken from memory: several specs share the networks."""

    def __init__(self, spec: DiffusionSpec, networks: Networks) -> None:
        self._networks = networks
        super().__init__(spec, Watch())

    def _base(self, spec: DiffusionSpec, loras: Any) -> Base:
        given = self._networks.base
        return replace(given, text_encoders=list(given.text_encoders))  # emptied once the prompt is encoded

    def _controls(self, spec: DiffusionSpec, unet_config: Any) -> dict[str, Any]:
        return {c.net: wrap_net(self._networks.net, "union", c.net) for c in spec.settings.controls}

    def _decoder(self, spec: DiffusionSpec, base: Base) -> Any:
        return self._networks.tiny if spec.plan.tiny else self._networks.base.vae


def settings_for(size: Size, profile: str, **changes: Any) -> Diffusion:
    """Write the section that a style would have; LoRAs cost nothing once they are merged and are left out."""
    told = {
        "prompt": "a map", "profile": profile, "lattice": size.lattice,
        "nets": {"union": Net(source="union")}, "controls": CONTROLS,
    }  # fmt: skip
    return Diffusion(**told | changes)


def pick_fit(size: Size, machine: Any, chosen: Fit, batch: str, dtype: str) -> Fit:
    """Take what the product chose for the machine, or what was asked for instead."""
    fit = chosen if size is FULL or machine.device != "cpu" else replace(chosen, batch=(2, 2), threads=1)
    if batch:
        wide, _, high = batch.partition("x")
        fit = replace(fit, batch=(int(wide), int(high or 1)))
    return replace(fit, dtype=dtype) if dtype else fit


def _sdxl(part: str) -> dict[str, Any]:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    told: dict[str, Any] = json.loads((CONFIGS / part / name).read_text())
    return told


def _filled(name: str, config: Mapping[str, Any], device: str, dtype: str) -> Any:
    """Build a network on the device: matrices of a gain of one, norms that leave things as they are."""
    import torch

    net = build(name, {key: value for key, value in config.items() if key != "_class_name"}, name)
    with quiet():
        net = net.to(getattr(torch, dtype)).to_empty(device=device)
    if device == "meta":
        return net.eval()
    draw = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(float(key.endswith("weight")))
            else:
                fan_in = parameter.numel() / parameter.shape[0]
                parameter.normal_(0.0, fan_in**-0.5, generator=draw)
    return net.eval().requires_grad_(False)


def _text_encoders(first: int, second: int) -> tuple[Any, Any]:
    # One layer each: a prompt is encoded once, before anything is measured, and only the widths matter.
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def config(width: int) -> Any:
        return CLIPTextConfig(
            vocab_size=_WORDS, hidden_size=width, intermediate_size=width, num_hidden_layers=1,
            num_attention_heads=width // 16, projection_dim=width, bos_token_id=0, eos_token_id=2, pad_token_id=1,
        )  # fmt: skip

    torch.manual_seed(0)
    return CLIPTextModel(config(first)).eval(), CLIPTextModelWithProjection(config(second)).eval()


_WORDS = 256


def _numbered(text: str, max_length: int = 77, **_: Any) -> Any:
    """Number a prompt's letters: random encoders understand no vocabulary."""
    import torch

    letters = [min(ord(letter), _WORDS - 2) for letter in text[: max_length - 2]]
    ids = [0, *letters, *[_WORDS - 1] * (max_length - 1 - len(letters))]
    return SimpleNamespace(input_ids=torch.tensor([ids]), offset_mapping=[])
