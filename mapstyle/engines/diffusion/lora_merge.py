"""LoRAs merged into the weights of a base that is kept: any number, any sign, and back to the bit."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mapstyle.engines.diffusion.lora_file import FAMILIES, Layer, LoraFile
from mapstyle.engines.diffusion.lora_names import (
    TEXT,
    TEXT_2,
    UNET,
    block_factor,
    check_blocks,
    text_names,
    unet_names,
)
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    import torch

Place = tuple[str, str]
"""A layer of the base: the net and the module in it."""


class Stacked(NamedTuple):
    """A LoRA and how strongly it acts.

    Attributes:
        file: the LoRA.
        weight: on the UNet; negative takes away.
        text_weight: on the text encoders; None is ``weight``.
        blocks: further factors by block of the UNet; those not named have 1.
    """

    file: LoraFile
    weight: float
    text_weight: float | None = None
    blocks: Mapping[str, float] = MappingProxyType({})


class Merger:
    """The nets of a base, and the LoRAs that are in their weights.

    Every touched weight is ``round(base + sum of weight * delta)``: summed in float32 (float64 in nets of float64) in
    the order of the stack, rounded once, and computed on the CPU, so that all devices get the same. Weights are
    written in place, so compiled nets and CUDA graphs stay valid; the base's own values of the touched ones are kept
    in main memory. Make it of the nets themselves, before they are compiled or wrapped; nobody else may change their
    weights or types from then on.
    """

    def __init__(self, unet: "torch.nn.Module", text_encoders: Sequence["torch.nn.Module"] = ()) -> None:
        from torch.nn import Conv2d, Linear

        nets = {UNET: unet, **dict(zip((TEXT, TEXT_2), text_encoders, strict=False))}
        modules = {
            net: {name: part for name, part in module.named_modules() if isinstance(part, (Linear, Conv2d))}
            for net, module in nets.items()
        }
        self._names = {net: (unet_names if net == UNET else text_names)(parts) for net, parts in modules.items()}
        self._shapes = {
            (net, name): tuple(part.weight.shape) for net, parts in modules.items() for name, part in parts.items()
        }
        self._weights: dict[Place, Any] = {
            (net, name): part.weight for net, parts in modules.items() for name, part in parts.items()
        }
        self._pristine: dict[Place, Any] = {}

    def check(self, file: LoraFile, blocks: Mapping[str, float] = MappingProxyType({})) -> None:
        """Refuse a LoRA that does not fit these nets to its last layer; nets on the ``meta`` device will do.

        Raises:
            EngineError: it is for another base.
            StyleError: ``blocks`` names one that is not there.
        """
        check_blocks(blocks, (name for net, name in self._shapes if net == UNET))
        for _ in self._placed(file):
            pass

    def apply(self, stack: Sequence[tuple[LoraFile, float, float | None, Mapping[str, float]]]) -> None:
        """Put these LoRAs, and no others, on the base; :class:`Stacked` is such a tuple.

        Raises:
            EngineError: one does not fit, and nothing has changed; or weights overflow, and the base is bare again.
            StyleError: ``blocks`` names one that is not there, and nothing has changed.
        """
        plan: dict[Place, list[tuple[Layer, float]]] = {}
        for file, weight, text_weight, blocks in stack:
            self.check(file, blocks)
            for place, layer in self._placed(file):
                net, module = place
                if net == UNET:
                    factor = weight * block_factor(module, blocks)
                else:
                    factor = weight if text_weight is None else text_weight
                if factor != 0 and place in self._weights:
                    plan.setdefault(place, []).append((layer, factor))
        for place in [place for place in self._pristine if place not in plan]:
            self._put_back(place)
        for place, doses in plan.items():
            self._merge(place, doses)

    def restore(self) -> None:
        """Give the base back bit for bit."""
        self.apply(())

    def release_text_encoders(self) -> None:
        """Let go of the text encoders as they are, so that they can be freed once prompts are encoded.

        Later stacks are still checked against them, and change the UNet alone.
        """
        for place in [place for place in self._weights if place[0] != UNET]:
            del self._weights[place]
            self._pristine.pop(place, None)

    def _placed(self, file: LoraFile) -> Iterator[tuple[Place, Layer]]:
        context = next((shape[1] for (_, name), shape in self._shapes.items() if name.endswith("attn2.to_k")), None)
        if file.context not in (None, context):
            told = FAMILIES.get(file.context or 0, "another base")
            raise EngineError(
                f"{file.path}: made for {told}: its cross-attention reads {file.context} values of a word, "
                f"this base {context}; take a LoRA made for this base"
            )
        seen = set()
        for layer in file.layers:
            if layer.net not in self._names:
                raise EngineError(f"{file.path}: changes the {layer.net}, which is not loaded")
            name = self._names[layer.net].get(layer.module)
            if name is None:
                raise EngineError(
                    f"{file.path}: the {layer.net} of this base has no layer '{layer.module[:100]}'; "
                    "the LoRA is made for another base"
                )
            place = (layer.net, name)
            if place in seen:
                raise EngineError(f"{file.path}: changes the layer '{name}' under two names; it cannot be used")
            seen.add(place)
            _check_shape(file, layer, self._shapes[place])
            yield place, layer

    def _merge(self, place: Place, doses: Sequence[tuple[Layer, float]]) -> None:
        import torch

        weight = self._weights[place]
        if place not in self._pristine:
            self._pristine[place] = weight.detach().to("cpu", copy=True)
        base = self._pristine[place].to(torch.float64 if weight.dtype == torch.float64 else torch.float32)
        (layer, factor), *others = doses
        total = delta(layer, base).mul_(factor)
        for layer, factor in others:
            total.add_(delta(layer, base), alpha=factor)
        merged = total.add_(base).to(weight.dtype)
        if not all(torch.isfinite(end) for end in torch.aminmax(merged)):
            self.restore()
            raise EngineError(f"the LoRAs make {place[0]}.{place[1]} overflow; lower their weights in diffusion.loras")
        with torch.no_grad():
            weight.copy_(merged)

    def _put_back(self, place: Place) -> None:
        import torch

        with torch.no_grad():
            self._weights[place].copy_(self._pristine.pop(place))


def delta(layer: Layer, base: "torch.Tensor") -> "torch.Tensor":
    """Compute what a layer at weight 1 adds to a weight of the base, in its type and shape, on the CPU.

    LoRA is up @ down; LoHa (arXiv 2108.06098) the elementwise product of two such; LoKr (arXiv 2212.10650) a Kronecker
    product; all times alpha / rank. DoRA (arXiv 2402.09353) then sets the lengths of the rows of base + product;
    its delta is taken as a whole, so that weights mean the same for all kinds and 0 is the base.
    """
    import torch

    # A copy, because the bits of a product depend on how its factors are aligned, and those of the file are mapped.
    factors = {name: part.to(base.dtype, copy=True) for name, part in layer.parts.items()}
    if layer.kind == "lora":
        up, down = factors["up"].flatten(1), factors["down"].flatten(1)
        product = _tucker(up.T, down, factors["mid"]) if "mid" in factors else up @ down
    elif layer.kind == "loha":
        product = _factor(factors, "w1") * _factor(factors, "w2")
    else:
        first, second = _factor(factors, "w1"), _factor(factors, "w2")
        product = torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second)
    added = product.mul_(layer.scale).reshape(base.shape)
    lengths = factors.get("dora", factors.get("magnitude"))
    return added if lengths is None else _with_lengths(base, added, lengths, "magnitude" in factors)


def _factor(factors: Mapping[str, "torch.Tensor"], name: str) -> "torch.Tensor":
    if name in factors:
        return factors[name]
    a, b, core = factors[f"{name}_a"], factors[f"{name}_b"], factors.get(f"t{name[1]}")
    return a @ b if core is None else _tucker(a, b, core)


def _tucker(a: "torch.Tensor", b: "torch.Tensor", core: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.einsum("mo,ni,mnhw->oihw", a, b, core)


def _with_lengths(base: "torch.Tensor", added: "torch.Tensor", lengths: "torch.Tensor", peft: bool) -> "torch.Tensor":
    # Lengths are those of what makes one output (peft always), or of what one input goes into: [1, in, ...].
    merged = base + added
    of_inputs = not peft and lengths.ndim > 1 and lengths.shape[0] == 1
    axes = [axis for axis in range(base.ndim) if axis != of_inputs]
    norm = merged.square().sum(axes, keepdim=True).sqrt()
    # A row of zeros has no direction and stays zero.
    return merged * (lengths.reshape(norm.shape) / norm.where(norm > 0, 1)) - base


def _check_shape(file: LoraFile, layer: Layer, shape: tuple[int, ...]) -> None:
    found = layer.shape
    if len(found) < len(shape):  # a convolution whose factors are written as matrices
        fits = found[0] == shape[0] and math.prod(found) == math.prod(shape)
    else:  # a matrix may be written as the kernel of a convolution over one pixel
        fits = found[: len(shape)] == shape and math.prod(found) == math.prod(shape)
    for name in ("dora", "magnitude"):
        if (lengths := layer.parts.get(name)) is not None:
            counts = shape[:1] if name == "magnitude" or lengths.ndim < 2 or lengths.shape[0] != 1 else shape[1:2]
            fits = fits and lengths.numel() == counts[0]
    if not fits:
        told, own = ("x".join(map(str, sides)) for sides in (found, shape))
        raise EngineError(
            f"{file.path}: the layer '{layer.module[:100]}' is made for {told} weights, this base's is {own}; "
            "take a LoRA made for this base"
        )
