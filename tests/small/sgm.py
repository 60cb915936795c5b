"""Names of the original SDXL checkpoint ("sgm layout") for diffusers' names, and the single file made with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def unet_name(module: str, last_up_with_attention: int = 1) -> str:
    """Give a UNet module's name in the original layout (two layers per block, so three places)."""
    if module in _OUTER:
        return _OUTER[module]
    kind, rest = module.split(".", 1)
    if kind == "mid_block":
        part, place, inner = rest.split(".", 2)
        return f"middle_block.{_MIDDLE[f'{part}.{place}']}.{_inside(part, inner)}"
    block, part, place, inner = rest.split(".", 3)
    i, j = int(block), int(place)
    if part == "downsamplers":
        return f"input_blocks.{3 * (i + 1)}.0.op"
    if part == "upsamplers":
        return f"output_blocks.{3 * i + 2}.{2 if i <= last_up_with_attention else 1}.conv"
    column = 1 if part == "attentions" else 0
    if kind == "down_blocks":
        return f"input_blocks.{1 + 3 * i + j}.{column}.{_inside(part, inner)}"
    return f"output_blocks.{3 * i + j}.{column}.{_inside(part, inner)}"


def _inside(part: str, inner: str) -> str:
    return _RESNET[inner] if part == "resnets" else inner


def vae_name(module: str) -> str:
    """Give a VAE module's name in the original layout (four blocks)."""
    name = module.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    for i in range(2):
        name = name.replace(f"mid_block.resnets.{i}", f"mid.block_{i + 1}")
    if "mid_block.attentions.0." in name:
        head, inner = name.split("mid_block.attentions.0.")
        return f"{head}mid.attn_1.{_VAE_ATTENTION[inner]}"
    for i in range(4):
        name = name.replace(f"decoder.up_blocks.{i}.", f"decoder.up.{3 - i}.")
        name = name.replace(f"encoder.down_blocks.{i}.", f"encoder.down.{i}.")
    for side in ("down", "up"):
        name = name.replace(f"{side}samplers.0.conv", f"{side}sample.conv")
    return name.replace(".resnets.", ".block.")


def checkpoint(unet: Any, vae: Any, text_encoder: Any, text_encoder_2: Any) -> dict[str, Any]:
    """Gather the weights of all four networks under the original names."""
    tensors: dict[str, Any] = {}
    for key, value in unet.state_dict().items():
        module, leaf = key.rsplit(".", 1)
        tensors[f"model.diffusion_model.{unet_name(module)}.{leaf}"] = value
    for key, value in vae.state_dict().items():
        module, leaf = key.rsplit(".", 1)
        name = f"first_stage_model.{vae_name(module)}.{leaf}"
        pointwise = ".attn_1." in name and value.ndim == 2
        tensors[name] = value[:, :, None, None] if pointwise else value
    for key, value in text_encoder.state_dict().items():
        tensors["conditioner.embedders.0.transformer.text_model." + key.removeprefix("text_model.")] = value
    for key, value in _open_clip(text_encoder_2.state_dict()).items():
        tensors[f"conditioner.embedders.1.model.{key}"] = value
    return tensors


def _open_clip(state: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    tensors: dict[str, Any] = {"logit_scale": torch.tensor(4.6052)}
    for key, value in state.items():
        name = key.removeprefix("text_model.")
        if name == "text_projection.weight":
            tensors["text_projection"] = value.T
        elif name.startswith("embeddings.position_embedding"):
            tensors["positional_embedding"] = value
        elif name.startswith("embeddings."):
            tensors[name.removeprefix("embeddings.")] = value
        elif name.startswith("final_layer_norm."):
            tensors[name.replace("final_layer_norm", "ln_final")] = value
        elif "self_attn.q_proj." in name:
            stacked = [state[key.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            layer, leaf = name.removeprefix("encoder.layers.").split(".self_attn.q_proj.")
            tensors[f"transformer.resblocks.{layer}.attn.in_proj_{leaf}"] = torch.cat(stacked)
        elif ".k_proj." not in name and ".v_proj." not in name:
            for ours, theirs in _OPEN_CLIP.items():
                name = name.replace(f".{ours}.", f".{theirs}.")
            tensors[name.replace("encoder.layers.", "transformer.resblocks.")] = value
    return tensors


def write_single_file(path: Path, unet: Any, vae: Any, text_encoder: Any, text_encoder_2: Any) -> None:
    """Write one checkpoint file in the original layout, with the header a published one carries."""
    from safetensors.torch import save_file

    tensors = checkpoint(unet, vae, text_encoder, text_encoder_2)
    header = {"format": "pt", "modelspec.architecture": "stable-diffusion-xl-v1-base", "modelspec.title": "Small SDXL"}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=header)
