"""The denoiser: which noise a UNet, guided by controls and a prompt, sees in a batch of windows at one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

from mapstyle.engines.diffusion.nets import ControlModel, Hint, Residuals
from mapstyle.engines.diffusion.prompt import Prompt
from mapstyle.engines.diffusion.schedule import Schedule
from mapstyle.engines.diffusion.settings import UNION_MODES, Control
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Call:
    """One evaluation of one net: its name, and the indices of the controls that it serves together."""

    net: str
    controls: tuple[int, ...]


@dataclass(frozen=True)
class Hints:
    """What the nets make of the control images of one batch; filled when a step first asks for it.

    Attributes:
        images: by the control's index, uint8 or float in 0..1 [B, 3, 8h, 8w].
        made: what has been computed, by call and the weights' dtype.
    """

    images: "Mapping[int, Tensor]"
    made: dict[tuple[Call, Any], Hint] = field(default_factory=dict)


def is_on(control: Control, step: int, executed: int) -> bool:
    """Say whether a control guides an executed step, counted as diffusers counts: a step counts where it is whole."""
    return control.scale > 0 and step / executed >= control.start and (step + 1) / executed <= control.end


class Denoiser:
    """A UNet with its ControlNets, prompt, guidance and schedule: a function of latents, step and control images.

    A sample's result depends on the shape of the batch and its own place in it, never on its companions.

    Attributes:
        used: indices of the controls that guide any step; the others need no image.
        evaluations: samples the UNet has evaluated so far; a guided step takes two for each window.
        net_evaluations: samples that nets have evaluated so far.
    """

    def __init__(
        self,
        unet: Any,
        nets: Mapping[str, ControlModel],
        controls: Sequence[Control],
        prompt: Prompt,
        time_ids: "Tensor",
        schedule: Schedule,
        *,
        first: int,
        executed: int,
        cfg: float,
        cfg_steps: int,
        device: Any = None,
    ) -> None:
        """Put the parts together.

        Args:
            unet: diffusers' UNet of SDXL.
            nets: by the names that the controls use.
            controls: in the style's order.
            prompt: encoded.
            time_ids: float[1, 6], SDXL's micro-conditioning: original height and width, crop, target height and width.
            schedule: of all steps, also those left out by ``strength``.
            first: index in the schedule of the first executed step.
            executed: number of steps from there.
            cfg: scale of classifier-free guidance.
            cfg_steps: number of executed steps, from the first, that are guided.
            device: where tensors go, when the weights are not already there.
        """
        import torch

        assert cfg_steps == 0 or len(prompt.embeds) == 2, "guidance needs the negative prompt"
        self._unet, self._nets, self._controls, self._prompt = unet, nets, tuple(controls), prompt
        self._cfg, self._cfg_steps = cfg, cfg_steps
        self._device = unet.conv_in.weight.device if device is None else torch.device(device)
        # The embedding of times is computed in float32 whatever the weights are, so bfloat16 need not round sizes.
        self._time_ids = time_ids.to(self._device, torch.float32)
        timesteps = schedule.timesteps[first : first + executed]
        self._timesteps = torch.tensor(timesteps, dtype=torch.float32, device=self._device)
        self._sigmas = schedule.sigmas[first : first + executed]
        self._calls = tuple(self._plan(step, executed) for step in range(executed))
        self._conditions: dict[tuple[int, bool, Any], tuple[Tensor, Tensor, Tensor]] = {}
        self.used = frozenset(i for calls in self._calls for call in calls for i in call.controls)
        self.evaluations = 0
        self.net_evaluations = 0
        for control in self._controls:
            _check_mode(control, nets[control.net])

    def hints(self, images: "Mapping[int, Tensor]") -> Hints:
        """Take the control images of a batch of windows.

        Args:
            images: for each control in :attr:`used`, by its index: uint8 or float in 0..1 [B, 3, 8h, 8w].
        """
        return Hints({i: images[i] for i in sorted(self.used)})

    def __call__(self, x: "Tensor", step: int, hints: Hints) -> "Tensor":
        """Predict the noise in a batch of windows.

        Args:
            x: float[B, 4, h, w] in sigma form, in the precision that the sampler works in.
            step: executed step, from 0.
            hints: of these windows, in the same order.

        Returns:
            float[B, 4, h, w], in the dtype and on the device of ``x``.
        """
        import torch

        guided = step < self._cfg_steps
        scaled = (x / sqrt(1 + self._sigmas[step] ** 2)).to(self._device, self._dtype)
        if guided:
            scaled = torch.cat([scaled, scaled])
        embeds, pooled, time_ids = self._condition(len(scaled), guided)
        timestep = self._timesteps[step]
        with torch.no_grad():
            residuals: Residuals | None = None
            for call in self._calls[step]:
                hint = self._hint(call, hints)
                more = self._nets[call.net].residuals(scaled, timestep, embeds, pooled, time_ids, hint)
                residuals = more if residuals is None else _add(residuals, more)
                self.net_evaluations += len(scaled)
            down, middle = residuals or (None, None)
            self.evaluations += len(scaled)
            eps = self._unet(
                scaled,
                timestep,
                encoder_hidden_states=embeds,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]
        eps = eps.to(x.device, x.dtype)
        if not guided:
            return eps
        without, with_prompt = eps.chunk(2)
        return without + self._cfg * (with_prompt - without)

    @property
    def _dtype(self) -> Any:
        # Asked anew because a batch may be done again in float32; diffusers' own ``dtype`` walks all 1680 parameters.
        return self._unet.conv_in.weight.dtype

    def _plan(self, step: int, executed: int) -> tuple[Call, ...]:
        # A union net takes all its controls that are on in one evaluation, a plain net each in its own.
        plan: dict[tuple[str, int], list[int]] = {}
        for i, control in enumerate(self._controls):
            if is_on(control, step, executed):
                alone = -1 if self._nets[control.net].modes else i
                plan.setdefault((control.net, alone), []).append(i)
        return tuple(Call(net, tuple(chosen)) for (net, _), chosen in plan.items())

    def _hint(self, call: Call, hints: Hints) -> Hint:
        import torch

        key = (call, self._dtype)
        if key not in hints.made:
            net = self._nets[call.net]
            images = []
            for i in call.controls:
                image = hints.images[i].to(self._device)
                if image.dtype == torch.uint8:
                    image = image.to(torch.float32) / 255
                images.append(image.to(self._dtype))
            chosen = [self._controls[i] for i in call.controls]
            modes = [UNION_MODES[control.mode] for control in chosen if control.mode is not None]
            hints.made[key] = net.hint(images, modes, [control.scale for control in chosen])
        return hints.made[key]

    def _condition(self, samples: int, guided: bool) -> "tuple[Tensor, Tensor, Tensor]":
        # Prompt and sizes are the same for every window: laid out once for each shape of batch.
        key = (samples, guided, self._dtype)
        if key not in self._conditions:
            rows = slice(None) if guided else slice(-1, None)
            each = samples // 2 if guided else samples
            embeds, pooled = (
                part[rows].to(self._device, self._dtype).repeat_interleave(each, 0)
                for part in (self._prompt.embeds, self._prompt.pooled)
            )
            self._conditions[key] = embeds, pooled, self._time_ids.repeat(samples, 1)
        return self._conditions[key]


def _add(left: Residuals, right: Residuals) -> Residuals:
    return [a + b for a, b in zip(left[0], right[0], strict=True)], left[1] + right[1]


def _check_mode(control: Control, net: ControlModel) -> None:
    mode = None if control.mode is None else UNION_MODES[control.mode]
    if mode is not None and mode >= net.modes:
        known = ", ".join(name for name, i in UNION_MODES.items() if i < net.modes)
        raise EngineError(
            f"net '{control.net}': these weights do not know the mode '{control.mode}' (known: {known}); "
            f"name weights that do, such as ControlNet-Union's ProMax, or another mode"
        )
