"""Weights in one ``.safetensors`` file: SDXL checkpoints, lone VAEs and lone ControlNets, with no network."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapstyle.engines.diffusion.architecture import (
    PARTS,
    TEXT_PARTS,
    build,
    plain_name,
    quiet,
    read_config,
    shapes_of,
    translated,
)
from mapstyle.engines.diffusion.headers import Header, TensorInfo, check_fits
from mapstyle.engines.diffusion.vocabulary import CONFIGS
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    import torch

# Settings of a control net that are its UNet's (diffusers' ``ControlNetModel.from_unet`` takes the same).
_SHARED = (
    "in_channels", "flip_sin_to_cos", "freq_shift", "norm_num_groups", "use_linear_projection", "attention_head_dim",
    "addition_embed_type", "addition_time_embed_dim",
)  # fmt: skip
_UNION_CHANNELS_PER_HEAD = 40  # 320 channels, 8 heads in the authors' net


def load_parts(
    path: Path, header: Header, config: Path, parts: Sequence[str], dtypes: Mapping[str, "torch.dtype"]
) -> Iterator[tuple[str, Any]]:
    """Load parts of an SDXL checkpoint in the original layout, past :func:`check_single`, one after the other.

    Args:
        path: the checkpoint.
        header: of the checkpoint.
        config: an existing folder of JSON configs; without one diffusers would ask the network.
        parts: names in :data:`PARTS`, without the tokenizers.
        dtypes: by part; both text encoders have the same.
    """
    for part in parts:
        _check_part(path, header, part, read_config(config, part))
    for part in parts:
        if part not in TEXT_PARTS:
            yield part, _load_part(path, config, part, dtypes[part])
    yield from _load_text_encoders(path, config, dtypes[TEXT_PARTS[0]]).items()


def _load_part(path: Path, config: Path, part: str, dtype: "torch.dtype") -> Any:
    import diffusers

    with translated(f"{path} ({part})"), quiet():
        return getattr(diffusers, PARTS[part][1]).from_single_file(
            str(path), config=str(config), subfolder=part, local_files_only=True, dtype=dtype
        )


def _load_text_encoders(path: Path, config: Path, dtype: "torch.dtype") -> dict[str, Any]:
    # They have no from_single_file of their own.
    import diffusers

    with translated(str(path)), quiet():
        pipeline = diffusers.StableDiffusionXLPipeline.from_single_file(
            str(path),
            config=str(config),
            local_files_only=True,
            dtype=dtype,
            unet=None,
            vae=None,
            add_watermarker=False,
        )
    return {part: getattr(pipeline, part) for part in TEXT_PARTS}


def load_lone_vae(path: Path, header: Header, configs: Path, dtype: "torch.dtype") -> Any:
    """Load a VAE from a file of its own: in diffusers' names, or in the original ones, with or without a prefix."""
    config = read_config(configs, "vae")
    names = [name.removeprefix("first_stage_model.") for name in header.tensors]
    if any(name.startswith("encoder.down_blocks.") for name in names):
        return load_lone(path, header, "AutoencoderKL", config, new_vae_name)
    if not any(name.startswith("encoder.down.") for name in names):
        raise EngineError(f"{path}: is no VAE")
    _check_part(path, header, "vae", config)
    return _load_part(path, configs, "vae", dtype)


def load_lone_tiny_vae(path: Path, header: Header) -> Any:
    """Load a tiny VAE from a file of its own, in diffusers' names."""
    first = header.tensors.get("encoder.layers.0.weight")
    if first is None or "decoder.layers.0.weight" not in header.tensors:
        raise EngineError(
            f"{path}: is no tiny VAE in diffusers' names; name the folder of one, such as madebyollin/taesdxl"
        )
    widths = [first.shape[0]] * 4
    config = {"encoder_block_out_channels": widths, "decoder_block_out_channels": widths}
    return load_lone(path, header, "AutoencoderTiny", config)


def load_lone(
    path: Path, header: Header, name: str, config: Mapping[str, Any], rename: Callable[[str], str] = lambda name: name
) -> Any:
    """Load a model of diffusers from a file of its own, checked before it is read."""
    from safetensors.torch import load_file

    model = build(name, config, str(path))
    check_fits(shapes_of(model), {rename(name): info for name, info in header.tensors.items()}, str(path))
    with translated(str(path)):
        tensors = {rename(name): tensor for shard in header.paths for name, tensor in load_file(shard).items()}
        model.load_state_dict(tensors, assign=True)
    return model


def is_union(header: Header) -> bool:
    """Tell a union net from a plain one: only it has an embedding of tasks."""
    return "task_embedding" in header.tensors


def net_config(path: Path, header: Header, unet: Mapping[str, Any] | None) -> dict[str, Any]:
    """Work out the config of a ControlNet in diffusers' names from its shapes.

    Args:
        path: the file, for messages.
        header: of the file.
        unet: config of the UNet it is for, for what shapes do not tell (heads, groups); SDXL's when None. It may hold
            ``num_trans_head`` for a union net whose authors chose another number than 40 channels a head.
    """
    unet = unet or read_config(CONFIGS, "unet")
    found = header.tensors
    if "controlnet_cond_embedding.conv_in.weight" not in found:
        raise EngineError(f"{path}: is no ControlNet in diffusers' names; take the diffusers version of it")
    try:
        config = {key: unet[key] for key in _SHARED if key in unet} | _body(found) | _hint(found)
        if is_union(header):
            config |= _union(found, unet)
    except (LookupError, ValueError, TypeError) as error:
        raise EngineError(f"{path}: is no ControlNet for SDXL ({error} is not as it should be)") from error
    heads = config["attention_head_dim"]
    if isinstance(heads, (list, tuple)) and len(heads) != len(config["block_out_channels"]):
        raise EngineError(
            f"{path}: has {len(config['block_out_channels'])} blocks, an SDXL ControlNet has {len(heads)}"
        )
    return config


def new_vae_name(name: str) -> str:
    """Give the name that a tensor of a VAE saved by an early diffusers has today."""
    for old, new in ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")):
        name = name.replace(old, new)
    return name


def _check_part(path: Path, header: Header, part: str, config: Mapping[str, Any]) -> None:
    """Compare what diffusers would load with the model, on tensors that take no memory."""
    model = build(PARTS[part][1], config, f"{path} ({part})")
    expected = shapes_of(model)
    with translated(f"{path} ({part})"):
        found = _converted(_hollow(header), part, config, model)
    check_fits(expected, found, f"{path} ({part})", spare=True)


def _hollow(header: Header) -> dict[str, Any]:
    import torch

    with torch.device("meta"):
        return {name: torch.empty(info.shape) for name, info in header.tensors.items()}


def _converted(tensors: dict[str, Any], part: str, config: Mapping[str, Any], model: Any) -> dict[str, TensorInfo]:
    # The same functions that from_single_file goes through: what they leave out, it leaves out.
    from diffusers.loaders import single_file_utils as convert

    if part == "unet":
        new = convert.convert_ldm_unet_checkpoint(tensors, config)
    elif part == "vae":
        new = convert.convert_ldm_vae_checkpoint(tensors, config)
    elif part == "text_encoder":
        new = convert.convert_ldm_clip_checkpoint(tensors)
    else:
        new = convert.convert_open_clip_checkpoint(model, tensors, prefix="conditioner.embedders.1.model.")
    return {plain_name(name): TensorInfo("F32", tuple(tensor.shape)) for name, tensor in new.items()}


def _body(found: Mapping[str, TensorInfo]) -> dict[str, Any]:
    blocks = _count(found, r"down_blocks\.(\d+)\.")
    depths = [_count(found, rf"down_blocks\.{i}\.attentions\.0\.transformer_blocks\.(\d+)\.") for i in range(blocks)]
    middle = _count(found, r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")
    body: dict[str, Any] = {
        "block_out_channels": [found[f"down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in range(blocks)],
        "layers_per_block": _count(found, r"down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        # The middle has the depth of the last block, whether that one has attention or not.
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), middle or depths[-1] or 1],
        "projection_class_embeddings_input_dim": found["add_embedding.linear_1.weight"].shape[1],
    }
    if middle:
        body["cross_attention_dim"] = found["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape[1]
    else:
        body["mid_block_type"] = "UNetMidBlock2D"
    return body


def _hint(found: Mapping[str, TensorInfo]) -> dict[str, Any]:
    start = "controlnet_cond_embedding."
    pairs = _count(found, r"controlnet_cond_embedding\.blocks\.(\d+)\.")
    later = [found[f"{start}blocks.{i}.weight"].shape[0] for i in range(1, pairs, 2)]
    return {"conditioning_embedding_out_channels": [found[f"{start}conv_in.weight"].shape[0], *later]}


def _union(found: Mapping[str, TensorInfo], unet: Mapping[str, Any]) -> dict[str, Any]:
    modes, width = found["task_embedding"].shape
    heads = unet.get("num_trans_head", max(1, width // _UNION_CHANNELS_PER_HEAD))
    return {
        "num_control_type": modes,
        "num_trans_channel": width,
        "num_trans_head": heads,
        "num_trans_layer": _count(found, r"transformer_layes\.(\d+)\."),
        "num_proj_channel": found["spatial_ch_projs.weight"].shape[0],
    }


def _count(found: Mapping[str, TensorInfo], pattern: str) -> int:
    numbers = {int(match[1][:4]) for name in found if (match := re.match(pattern, name))}
    return max(numbers, default=-1) + 1
