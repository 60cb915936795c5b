"""Schedules: the timesteps and noise levels of a sampler, read from diffusers' tables and frozen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mapstyle.engines.diffusion.settings import SAMPLERS
from mapstyle.errors import EngineError, explain, nearest

LCM_STEPS = 50
"""Longest LCM schedule: its models were distilled on every twentieth of 1000 timesteps (diffusers' default too)."""


@dataclass(frozen=True)
class Schedule:
    """Where each step begins and ends, in the sigma form ``x = E + sigma * noise``.

    Attributes:
        timesteps: what the model is told at each step, from high to low.
        sigmas: noise levels, one more than timesteps: step ``i`` goes from ``sigmas[i]`` to ``sigmas[i + 1]``; the last
            is 0.
    """

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]

    def cut(self, first: int) -> "Schedule":
        """Leave out the steps before ``first``, as img2img does: the rest is counted from 0."""
        return Schedule(self.timesteps[first:], self.sigmas[first:])


class Training(BaseModel):
    """How noise was laid out when a model was trained: its part of ``scheduler_config.json``.

    The rest of that file says how its authors would sample, which the style says here. Defaults are SDXL's.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_train_timesteps: int = Field(1000, ge=1, le=10_000)
    beta_start: float = Field(0.00085, gt=0, lt=1)
    beta_end: float = Field(0.012, gt=0, lt=1)
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    trained_betas: tuple[float, ...] | None = None
    steps_offset: int = Field(1, ge=0, le=1)
    rescale_betas_zero_snr: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        betas = self.trained_betas
        if betas is not None and (len(betas) != self.num_train_timesteps or not all(0 < b < 1 for b in betas)):
            raise ValueError(f"trained_betas must be {self.num_train_timesteps} numbers between 0 and 1")
        return self


def schedule(sampler: str, spacing: str, steps: int, config: Mapping[str, Any]) -> Schedule:
    """Lay out all ``steps`` of a sampler for a model; :meth:`Schedule.cut` makes it img2img's.

    The stock SDXL pipelines also ask for the full table and cut it, LCM's as well: ``strength`` and
    ``original_inference_steps`` of ``LCMScheduler.set_timesteps`` are used by the SD 1.5 LCM pipeline alone.

    Args:
        sampler: one of ``settings.SAMPLERS``.
        spacing: diffusers' ``timestep_spacing``; Karras and LCM schedules have their own and ignore it.
        steps: of the full schedule.
        config: the model's ``scheduler_config.json``.

    Raises:
        EngineError: a model that is not an epsilon model, a broken config, or more steps than the sampler has.
    """
    if sampler not in SAMPLERS:
        raise EngineError(f"no sampler called '{sampler}'. {nearest(sampler, SAMPLERS)}")
    training = _read(config)
    most = min(LCM_STEPS, training.num_train_timesteps) if sampler == "lcm" else training.num_train_timesteps
    # DPM++ begins one step below the top of a leading table, so that it needs room for one more.
    most -= sampler == "dpmpp-2m-karras"
    if not 1 <= steps <= most:
        raise EngineError(f"diffusion.steps: {steps} is not possible with the sampler {sampler}; choose 1 to {most}")
    timesteps, sigmas = _lcm(training, steps) if sampler == "lcm" else _spaced(sampler, spacing, training, steps)
    # For a few step counts (61, 103, 121, 122 of 1000) the "trailing" tables carry a rounding error as a further
    # timestep, -1, for which no model was trained.
    made = Schedule(timesteps[:steps], (*sigmas[:steps], 0.0))
    if not all(math.isfinite(s) and s > 0 for s in made.sigmas[:-1]):
        raise EngineError(
            "scheduler_config.json: noise without end (terminal SNR 0) needs a v-prediction model; choose another base"
        )
    return made


def _read(config: Mapping[str, Any]) -> Training:
    predicts = config.get("prediction_type") or "epsilon"
    if predicts != "epsilon":
        raise EngineError(
            f"scheduler_config.json: prediction_type is {predicts!r}, and this engine reads every output as noise "
            f"('epsilon'), which would paint a wrong picture; choose another base"
        )
    family = str(config.get("_class_name", ""))
    if family.startswith(("EDM", "FlowMatch")):
        raise EngineError(
            f"scheduler_config.json: the model was trained for {family!r}, whose input and output are scaled otherwise "
            f"than SDXL's, which would paint a wrong picture; choose another base"
        )
    try:
        return Training.model_validate({k: v for k, v in config.items() if v is not None})
    except ValidationError as error:
        raise EngineError(f"scheduler_config.json: {explain(error, Training)}") from None


def _spaced(sampler: str, spacing: str, training: Training, steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from diffusers import DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler

    settings = {**training.model_dump(), "timestep_spacing": spacing}
    if sampler == "dpmpp-2m-karras":
        table = DPMSolverMultistepScheduler(**settings, use_karras_sigmas=True)
    else:
        table = (EulerDiscreteScheduler if sampler == "euler" else EulerAncestralDiscreteScheduler)(**settings)
    table.set_timesteps(steps)
    return tuple(table.timesteps.tolist()), tuple(table.sigmas.tolist())


def _lcm(training: Training, steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from diffusers import LCMScheduler

    table = LCMScheduler(**training.model_dump(), original_inference_steps=min(LCM_STEPS, training.num_train_timesteps))
    table.set_timesteps(steps)
    kept = table.alphas_cumprod[table.timesteps].double()
    return tuple(table.timesteps.tolist()), tuple(((1 - kept) / kept).sqrt().tolist())
