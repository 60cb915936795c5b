"""Turn a prompt into what SDXL's UNet reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mapstyle.engines.diffusion.loader import Base

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Prompt:
    """An encoded prompt.

    Attributes:
        embeds: float[2, 77, C], of the negative prompt and the prompt; float[1, 77, C] without guidance.
        pooled: float[2, P] or float[1, P], likewise.
        dropped: the end of the prompt that was cut off because it is longer than 77 tokens; or empty.
    """

    embeds: Any
    pooled: Any
    dropped: str


def encode_prompt(base: Base, prompt: str, negative: str, guidance: bool) -> Prompt:
    """Encode a prompt as SDXL was trained to read it.

    Args:
        base: with its text encoders.
        prompt: what is wanted.
        negative: what is not wanted; when empty, and the base says so, it is all zeros.
        guidance: whether the negative prompt is wanted too.
    """
    import torch

    with torch.no_grad():
        wanted, pooled, dropped = _encode(base, prompt)
        if not guidance:
            return Prompt(wanted, pooled, dropped)
        if not negative and base.force_zeros:
            unwanted, unwanted_pooled = torch.zeros_like(wanted), torch.zeros_like(pooled)
        else:
            unwanted, unwanted_pooled, _ = _encode(base, negative)
        return Prompt(torch.cat([unwanted, wanted]), torch.cat([unwanted_pooled, pooled]), dropped)


def micro_conditioning(original: int, crop: int, target: int) -> "torch.Tensor":
    """Write down the sizes SDXL was told of each training picture: float32[1, 6], in pixels.

    Height and width of the original, top and left of the crop, height and width of the target
    (Podell et al. 2023, section 2.2).
    """
    import torch

    return torch.tensor([[original, original, crop, crop, target, target]], dtype=torch.float32)


def _encode(base: Base, text: str) -> tuple[Any, Any, str]:
    import torch

    hidden, pooled, dropped = [], None, ""
    for tokenizer, encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        length = encoder.config.max_position_embeddings
        ids = tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
        output = encoder(ids.to(encoder.device), output_hidden_states=True)
        # SDXL reads the last layer but one (Podell et al. 2023, section 2.1).
        hidden.append(output.hidden_states[-2])
        pooled = output[0]
        dropped = _dropped(tokenizer, text, length)
    return torch.cat(hidden, dim=-1), pooled, dropped


def _dropped(tokenizer: Any, text: str, length: int) -> str:
    """Say which words do not fit between the start and the end token."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
    return text[offsets[length - 2][0] :].strip() if len(offsets) > length - 2 else ""
