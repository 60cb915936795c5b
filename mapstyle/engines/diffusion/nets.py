"""ControlNets cut in two: what their images decide, which is computed once, and what each step decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mapstyle.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

Residuals = tuple[list["Tensor"], "Tensor"]
"""What a net adds to the UNet: one tensor for each of its skip connections, and one for its middle."""


@dataclass(frozen=True)
class Hint:
    """All that a net makes of its control images, without looking at latents, prompt or step.

    Attributes:
        features: float[B, C, h, w] in latents' pixels, added to the net's first features.
        scale: factor on the residuals.
        embedding: float[1, E], added to the embedding of the step; None in a plain net.
    """

    features: "Tensor"
    scale: float
    embedding: "Tensor | None" = None


class ControlModel(Protocol):
    """A net that turns control images into residuals for the UNet; no sample of a batch sees another."""

    @property
    def module(self) -> Any:
        """The network itself, to be moved or counted."""

    @property
    def modes(self) -> int:
        """How many modes it knows; 0 for a plain net, which reads one image at a time."""

    def hint(self, images: "Sequence[Tensor]", modes: Sequence[int], scales: Sequence[float]) -> Hint:
        """Compute what depends on the images alone.

        Args:
            images: float[B, 3, 8h, 8w] in 0..1, one for each control that is on.
            modes: their modes, as many; empty for a plain net.
            scales: how strongly each of them guides.
        """

    def residuals(
        self, x: "Tensor", timestep: "Tensor", embeds: "Tensor", pooled: "Tensor", time_ids: "Tensor", hint: Hint
    ) -> Residuals:
        """Evaluate the net; where ``x`` holds more samples than the hint, the hint is repeated over it."""


def wrap_net(module: Any, kind: Literal["plain", "union"], name: str) -> ControlModel:
    """Make a loaded ControlNet ready for the denoiser.

    Raises:
        EngineError: a net that is not one for SDXL, or not of that kind.
    """
    config = module.config
    if (kind == "union") != hasattr(module, "task_embedding"):
        other = "plain" if kind == "union" else "union"
        raise EngineError(f"net '{name}': these weights are not a {kind} ControlNet; try kind = '{other}' in the style")
    if config.addition_embed_type not in (None, "text_time") or config.global_pool_conditions:
        raise EngineError(f"net '{name}': this ControlNet was not made for SDXL; choose one that was")
    return UnionNet(module) if kind == "union" else PlainNet(module)


class PlainNet:
    """A ControlNet that reads one image."""

    modes = 0

    def __init__(self, module: Any) -> None:
        self.module = module

    def hint(self, images: "Sequence[Tensor]", modes: Sequence[int], scales: Sequence[float]) -> Hint:
        """Encode the image."""
        (image,), (scale,) = images, scales
        if self.module.config.controlnet_conditioning_channel_order == "bgr":
            image = image.flip(1)
        return Hint(self.module.controlnet_cond_embedding(image), scale)

    def residuals(
        self, x: "Tensor", timestep: "Tensor", embeds: "Tensor", pooled: "Tensor", time_ids: "Tensor", hint: Hint
    ) -> Residuals:
        """Evaluate the net, multiplied by the control's scale."""
        return _evaluate(self.module, x, timestep, embeds, pooled, time_ids, hint)


class UnionNet:
    """A ControlNet-Union, which reads several images of different modes at once.

    Scales mean what they mean in diffusers: of a lone image the residuals are scaled, of several the features of each.
    A mode that is off has to be left out, therefore, and not to be given the scale 0.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.modes = int(module.config.num_control_type)

    def hint(self, images: "Sequence[Tensor]", modes: Sequence[int], scales: Sequence[float]) -> Hint:
        """Encode and fuse the images."""
        import torch

        net = self.module
        alone = len(images) == 1
        factors = [1.0] if alone else list(scales)
        features = [net.controlnet_cond_embedding(image) * f for image, f in zip(images, factors, strict=True)]
        # (mean + task) * factor as diffusers has it; the mean is linear, so the factor may already be in the features.
        tokens = torch.stack(
            [x.mean((2, 3)) + net.task_embedding[m] * f for x, m, f in zip(features, modes, factors, strict=True)], 1
        )
        # Token by token. The attention of the stock net expects [tokens, batch, channels] and is given
        # [batch, tokens, channels]: it attends across the batch, and a window's picture would depend on its
        # companions. Alone in its batch, as in the authors' own examples, each token sees only itself: that is what a
        # sequence of length one gives any batch.
        for layer in net.transformer_layes:
            tokens = layer(tokens.reshape(1, -1, tokens.shape[-1])).reshape(tokens.shape)
        shifts = net.spatial_ch_projs(tokens)[..., None, None]
        fused = sum(x + shifts[:, i] * f for i, (x, f) in enumerate(zip(features, factors, strict=True)))
        chosen = torch.zeros(self.modes, device=fused.device)
        chosen[list(modes)] = 1
        types = net.control_type_proj(chosen).reshape(1, -1).to(fused.dtype)
        return Hint(fused, scales[0] if alone else 1.0, net.control_add_embedding(types))

    def residuals(
        self, x: "Tensor", timestep: "Tensor", embeds: "Tensor", pooled: "Tensor", time_ids: "Tensor", hint: Hint
    ) -> Residuals:
        """Evaluate the net."""
        return _evaluate(self.module, x, timestep, embeds, pooled, time_ids, hint)


def _evaluate(
    net: Any, x: "Tensor", timestep: "Tensor", embeds: "Tensor", pooled: "Tensor", time_ids: "Tensor", hint: Hint
) -> Residuals:
    # Both kinds share everything behind the hint: the UNet's first half, and a 1x1 convolution at each of its ends.
    import torch

    embedding = net.time_embedding(net.time_proj(timestep.expand(len(x))).to(x.dtype))
    if hint.embedding is not None:
        embedding = embedding + hint.embedding
    if net.config.addition_embed_type == "text_time":
        times = net.add_time_proj(time_ids.flatten()).reshape(len(x), -1)
        embedding = embedding + net.add_embedding(torch.cat([pooled, times], 1).to(x.dtype))
    sample = net.conv_in(x) + hint.features.repeat(len(x) // len(hint.features), 1, 1, 1)
    skips = [sample]
    for block in net.down_blocks:
        sample, more = _through(block, sample, embedding, embeds)
        skips.extend(more)
    if net.mid_block is not None:
        sample = _through(net.mid_block, sample, embedding, embeds)
    down = [out(skip) * hint.scale for skip, out in zip(skips, net.controlnet_down_blocks, strict=True)]
    return down, net.controlnet_mid_block(sample) * hint.scale


def _through(block: Any, sample: "Tensor", embedding: "Tensor", embeds: "Tensor") -> Any:
    # The small nets published for SDXL have blocks without attention, which do not take a prompt.
    if getattr(block, "has_cross_attention", False):
        return block(sample, embedding, encoder_hidden_states=embeds)
    return block(sample, embedding)
