"""Samplers: pure functions from one noise level to the next, and a phase made of them.

All see the state in the sigma form ``x = E + sigma * noise`` and the picture ``x0 = x - sigma * eps`` which the model
takes it for. They are arithmetic only, so that arrays of numpy and torch pass alike and keep their dtype, and windows
in one batch do not meet. A stochastic sampler's noise is no part of its step: where windows are fused it comes after
fusing, or the mean over windows would dampen it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mapstyle.engines.diffusion.schedule import Schedule

Latents = Any
"""A torch tensor or numpy array, floating, [batch, 4, height, width]."""

START_STREAM = 0
"""Stream of the world noise that a picture starts from."""


def stream_after(step: int) -> int:
    """Say which stream of the world noise is added after an executed step."""
    return 1 + step


def noise_after(sampler: str, schedule: Schedule, step: int) -> float:
    """Say how much noise follows a step: its standard deviation, 0 for deterministic samplers and at the end."""
    sigma, after = schedule.sigmas[step], schedule.sigmas[step + 1]
    if sampler == "lcm":
        return after
    if sampler == "euler-ancestral":
        return after * math.sqrt(1 - (after / sigma) ** 2)
    return 0.0


def run_phase(
    sampler: str,
    schedule: Schedule,
    steps: Sequence[int],
    x: Latents,
    denoise: Callable[[Latents, int], Latents],
    noise: Callable[[int], Latents],
) -> Latents:
    """Run consecutive executed steps on windows, up to the point where they are fused.

    The noise of the last step is left to the caller, who adds ``noise_after(sampler, schedule, steps[-1])`` times the
    stream ``stream_after(steps[-1])`` once the windows are fused. A multistep sampler starts anew with each phase:
    what it remembers was not fused.

    Args:
        sampler: one of ``settings.SAMPLERS``.
        schedule: the executed part (:meth:`Schedule.cut`).
        steps: executed steps, counted from 0 and rising by one.
        x: state before the first of them.
        denoise: the noise that the model sees in a state at a step (eps), with guidance.
        noise: unit noise of a stream, of the shape of ``x``; asked only for what is added between the steps.
    """
    take = STEPS[sampler]
    before = None
    for step in steps:
        x0 = x - schedule.sigmas[step] * denoise(x, step)
        x, before = take(schedule, step, x, x0, before), x0
        if step != steps[-1] and (amount := noise_after(sampler, schedule, step)):
            x = x + amount * noise(stream_after(step))
    return x


def _euler(schedule: Schedule, step: int, x: Latents, x0: Latents, before: Latents | None) -> Latents:
    """Go straight on to the next noise level (DDIM with eta 0 is the same)."""
    sigma, after = schedule.sigmas[step], schedule.sigmas[step + 1]
    return x0 + after / sigma * (x - x0)


def _euler_ancestral(schedule: Schedule, step: int, x: Latents, x0: Latents, before: Latents | None) -> Latents:
    """Go further down than the next level, which fresh noise then restores: down² + up² = after² (eta 1)."""
    sigma, after = schedule.sigmas[step], schedule.sigmas[step + 1]
    return x0 + (after / sigma) ** 2 * (x - x0)


def _dpmpp_2m(schedule: Schedule, step: int, x: Latents, x0: Latents, before: Latents | None) -> Latents:
    """Extrapolate the picture from the step before, midpoint rule (DPM-Solver++ 2M, arXiv 2211.01095, algorithm 2)."""
    sigma, after = schedule.sigmas[step], schedule.sigmas[step + 1]
    picture = x0
    if before is not None and after > 0:
        # Ratio of the steps' lengths in log sigma.
        ratio = math.log(sigma / after) / math.log(schedule.sigmas[step - 1] / sigma)
        picture = x0 + ratio / 2 * (x0 - before)
    return picture + after / sigma * (x - picture)


def _lcm(schedule: Schedule, step: int, x: Latents, x0: Latents, before: Latents | None) -> Latents:
    """Jump to the picture, bounded as a consistency model is (arXiv 2310.04378; timesteps x 10, sigma_data 0.5)."""
    sigma, time = schedule.sigmas[step], 10 * schedule.timesteps[step]
    return time / math.hypot(time, 0.5) * x0 + 0.25 / (time**2 + 0.25) * (x / math.hypot(1, sigma))


STEPS: Mapping[str, Callable[[Schedule, int, Latents, Latents, Latents | None], Latents]] = {
    "euler": _euler,
    "euler-ancestral": _euler_ancestral,
    "dpmpp-2m-karras": _dpmpp_2m,
    "lcm": _lcm,
}
"""Deterministic part of each step: schedule, executed step, state, its picture and the picture of the step before in
the same phase (None at its start) to the next state."""
