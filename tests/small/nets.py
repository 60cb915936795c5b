"""Configurations of the small networks, of the full-size ones they stand for, and networks from them."""

from collections.abc import Mapping
from typing import Any

from small.fill import fill

UNET: Mapping[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 16, 32),
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [1, 1, 2],  # diffusers' name for the number of heads
    "norm_num_groups": 4,
    "use_linear_projection": True,
    "cross_attention_dim": 32 + 48,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 16,
    "projection_class_embeddings_input_dim": 48 + 6 * 16,
}
FULL_UNET: Mapping[str, Any] = {
    **UNET,
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": [5, 10, 20],
    "norm_num_groups": 32,
    "cross_attention_dim": 2048,
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}

VAE: Mapping[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": (8, 16, 32, 32),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": False,
}
FULL_VAE: Mapping[str, Any] = {
    **VAE,
    "block_out_channels": (128, 256, 512, 512),
    "norm_num_groups": 32,
    "force_upcast": True,
}

TINY_VAE: Mapping[str, Any] = {
    "encoder_block_out_channels": (8,) * 4,
    "decoder_block_out_channels": (8,) * 4,
    "scaling_factor": 1.0,
}

TEXT: Mapping[str, Any] = {
    "vocab_size": 519,
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 32,
    "hidden_act": "quick_gelu",
    "bos_token_id": 0,
    "eos_token_id": 2,  # as in SDXL's files: the encoder then takes the highest id for the end
    "pad_token_id": 1,
}
TEXT_2: Mapping[str, Any] = {
    **TEXT,
    "hidden_size": 48,  # single files tell the encoders apart by their width
    "num_hidden_layers": 10,  # and know SDXL by the second one's tenth layer
    "projection_dim": 48,
    "intermediate_size": 192,
    "hidden_act": "gelu",
}
FULL_TEXT: Mapping[str, Any] = {
    **TEXT,
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
FULL_TEXT_2: Mapping[str, Any] = {
    **FULL_TEXT,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}

HINT: Mapping[str, Any] = {"conditioning_embedding_out_channels": (4, 4, 8, 8)}
FULL_HINT: Mapping[str, Any] = {"conditioning_embedding_out_channels": (16, 32, 96, 256)}
MODES: Mapping[str, Any] = {
    "num_control_type": 8,
    "num_trans_channel": 8,
    "num_proj_channel": 8,
    "num_trans_head": 2,
}
FULL_MODES: Mapping[str, Any] = {
    "num_control_type": 8,
    "num_trans_channel": 320,
    "num_proj_channel": 320,
    "num_trans_head": 8,
}

_SHARED_WITH_CONTROL = (
    "in_channels",
    "flip_sin_to_cos",
    "freq_shift",
    "down_block_types",
    "block_out_channels",
    "layers_per_block",
    "transformer_layers_per_block",
    "attention_head_dim",
    "norm_num_groups",
    "use_linear_projection",
    "cross_attention_dim",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)


def quick(unet: Mapping[str, Any] = UNET) -> dict[str, Any]:
    """Cut the transformers to one layer each: three to four times faster, but fewer modules than SDXL has."""
    return {**unet, "transformer_layers_per_block": [1, 1, 1]}


def control_config(unet: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    """Derive the configuration of a control net from its UNet's."""
    config = {name: unet[name] for name in _SHARED_WITH_CONTROL}
    for part in more:
        config.update(part)
    return config


def make_unet(config: Mapping[str, Any] = UNET) -> Any:
    """Build the UNet, filled."""
    from diffusers import UNet2DConditionModel

    return fill(UNet2DConditionModel(**config))


def make_vae(config: Mapping[str, Any] = VAE, seed: int = 0) -> Any:
    """Build the VAE, filled."""
    from diffusers import AutoencoderKL

    return fill(AutoencoderKL(**config), seed)


def make_tiny_vae() -> Any:
    """Build the tiny VAE, filled."""
    from diffusers import AutoencoderTiny

    return fill(AutoencoderTiny(**TINY_VAE))


def make_control_net(unet: Mapping[str, Any] = UNET) -> Any:
    """Build a plain ControlNet, filled: its encoder equals the UNet's, as in a net newly begun from one."""
    from diffusers import ControlNetModel

    return fill(ControlNetModel(**control_config(unet, HINT)))


def make_union(unet: Mapping[str, Any] = UNET) -> Any:
    """Build a union net of eight modes, filled.

    ``ControlNetUnionModel.from_unet`` is of no use here: it keeps the full width in its fusion transformer.
    """
    from diffusers import ControlNetUnionModel

    return fill(ControlNetUnionModel(**control_config(unet, HINT, MODES)))


def make_text_encoders() -> tuple[Any, Any]:
    """Build both text encoders, filled."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return fill(CLIPTextModel(CLIPTextConfig(**TEXT))), fill(CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2)))


def make_scheduler() -> Any:
    """Build the scheduler that SDXL's folders name."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
