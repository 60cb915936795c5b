"""Samplers take the steps of diffusers' own schedulers, in phases and without state."""

import sys

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)

from mapstyle.engines.diffusion.profiles import split_phases
from mapstyle.engines.diffusion.samplers import START_STREAM, STEPS, noise_after, run_phase, stream_after
from mapstyle.engines.diffusion.schedule import schedule
from mapstyle.engines.diffusion.settings import SAMPLERS

CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
STOCK = {
    "euler": (EulerDiscreteScheduler, "trailing", {}),
    "euler-ancestral": (EulerAncestralDiscreteScheduler, "trailing", {}),
    "dpmpp-2m-karras": (DPMSolverMultistepScheduler, "leading", {"use_karras_sigmas": True}),
    "lcm": (LCMScheduler, "leading", {}),
}
SHAPE = (2, 4, 6, 5)
RUNS = [(8, 0), (8, 2), (30, 0), (30, 9), (4, 1), (1, 0)]


def unit_noise(stream, dtype=torch.float64):
    generator = torch.Generator().manual_seed(100 + stream)
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype)


def picture(dtype=torch.float64):
    return unit_noise(-1, dtype)


def model(scaled, timestep):
    """Give eps for a network input: not linear in it, and different at each timestep and place."""
    place = torch.linspace(-1, 1, SHAPE[-1], dtype=scaled.dtype)
    return 0.8 * scaled + 0.15 * torch.sin(scaled + place) * (1 + float(timestep) / 1000)


def laid_out(sampler, steps, first=0):
    return schedule(sampler, STOCK[sampler][1], steps, CONFIG).cut(first)


def eps_of(made, calls=None):
    def denoise(x, step):
        if calls is not None:
            calls.append(step)
        return model(x / (1 + made.sigmas[step] ** 2) ** 0.5, made.timesteps[step])

    return denoise


def ours(sampler, made, phases, dtype=torch.float64, start=None):
    """Run all phases as the engine does for one window: noise between phases is added after the phase."""
    x = picture(dtype) + made.sigmas[0] * unit_noise(START_STREAM, dtype) if start is None else start
    for steps in phases:
        x = run_phase(sampler, made, steps, x, eps_of(made), lambda stream: unit_noise(stream, dtype))
        if amount := noise_after(sampler, made, steps[-1]):
            x = x + amount * unit_noise(stream_after(steps[-1]), dtype)
    return x


class Wide:
    """Torch as a scheduler's module sees it, but where it says float32 it gets float64."""

    def __getattr__(self, name):
        return getattr(torch, "float64" if name == "float32" else name)


@pytest.fixture
def in_double(monkeypatch):
    """Lend diffusers' schedulers in double precision: they round to float32 inside, whatever they are given."""
    kept = torch.get_default_dtype()

    def made(sampler, steps, first):
        kind, spacing, more = STOCK[sampler]
        scheduler = kind.from_config(CONFIG, timestep_spacing=spacing, **more)
        scheduler.set_timesteps(steps)
        scheduler.set_begin_index(first)
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = scheduler.sigmas.double()
        torch.set_default_dtype(torch.float64)
        module = sys.modules[kind.__module__]
        monkeypatch.setattr(module, "torch", Wide())
        drawn = iter(range(steps))
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: unit_noise(stream_after(next(drawn))))
        return scheduler

    yield made
    torch.set_default_dtype(kept)


def stock(scheduler, timesteps, x):
    """Step as diffusers' pipelines do."""
    for t in timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x, return_dict=False)[0]
    return x


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("steps", "first"), RUNS)
def test_a_run_is_the_stock_schedulers(sampler, steps, first, in_double):
    made = laid_out(sampler, steps, first)
    x = ours(sampler, made, [range(steps - first)])
    scheduler = in_double(sampler, steps, first)
    timesteps = scheduler.timesteps[first:]
    other = stock(scheduler, timesteps, scheduler.add_noise(picture(), unit_noise(START_STREAM), timesteps[:1]))
    assert x.dtype == other.dtype == torch.float64
    assert float((x - other).abs().max() / other.std()) < 1e-10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_depends_on_sampler_cut_and_noise(sampler):
    made = laid_out(sampler, 8, 2)
    x = ours(sampler, made, [range(6)])
    for other in set(SAMPLERS) - {sampler}:
        assert (ours(other, made, [range(6)]) - x).abs().max() > 1e-3
    assert (ours(sampler, laid_out(sampler, 8, 3), [range(5)]) - x).abs().max() > 1e-3
    asked = []
    run_phase(sampler, made, range(6), picture(), eps_of(made), lambda s: asked.append(s) or unit_noise(s))
    assert asked == ([1, 2, 3, 4, 5] if sampler in ("lcm", "euler-ancestral") else [])


@pytest.mark.parametrize("sampler", ["euler", "euler-ancestral", "lcm"])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_phases_do_not_change_a_one_step_sampler(sampler, count):
    made = laid_out(sampler, 8, 2)
    whole = ours(sampler, made, [range(6)])
    assert torch.equal(ours(sampler, made, split_phases(6, count)), whole)


def test_a_multistep_sampler_starts_anew_with_each_phase():
    made = laid_out("dpmpp-2m-karras", 8, 2)
    whole = ours("dpmpp-2m-karras", made, [range(6)])
    split = ours("dpmpp-2m-karras", made, split_phases(6, 2))
    assert 1e-4 < (split - whole).abs().max() < 1
    # With a phase for each step it has no memory at all, and is Euler on its own noise levels.
    alone = ours("dpmpp-2m-karras", made, split_phases(6, 6))
    assert torch.equal(alone, ours("euler", made, [range(6)]))


@pytest.mark.parametrize("steps", [range(0, 5), range(5, 12), range(3, 4)])
def test_a_phase_of_a_multistep_sampler_is_a_stock_run(steps, in_double):
    made = laid_out("dpmpp-2m-karras", 12)
    x = picture() + made.sigmas[steps[0]] * unit_noise(START_STREAM)
    scheduler = in_double("dpmpp-2m-karras", 12, steps[0])
    # The stock scheduler's state is this one, scaled to unit variance.
    before, after = ((1 + made.sigmas[i] ** 2) ** 0.5 for i in (steps[0], steps[-1] + 1))
    other = stock(scheduler, scheduler.timesteps[steps[0] : steps[-1] + 1], x / before) * after
    x = run_phase("dpmpp-2m-karras", made, steps, x, eps_of(made), unit_noise)
    assert float((x - other).abs().max() / other.std()) < 1e-10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_last_step_adds_no_noise_and_the_middle_ones_keep_the_level(sampler):
    made = laid_out(sampler, 8)
    assert noise_after(sampler, made, 7) == 0
    for step in range(7):
        sigma, after = made.sigmas[step], made.sigmas[step + 1]
        # A model that always sees the same picture: what is left of the noise, with what is added, is the next level.
        x = STEPS[sampler](made, step, torch.tensor(sigma, dtype=torch.float64), torch.tensor(0.0), None)
        left = float(x) if sampler != "lcm" else 0.0
        assert left**2 + noise_after(sampler, made, step) ** 2 == pytest.approx(after**2, rel=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_model_that_knows_the_picture_gives_it_back(sampler):
    made = laid_out(sampler, 8)
    wanted = picture()
    x = wanted + made.sigmas[0] * unit_noise(START_STREAM)
    out = run_phase(sampler, made, range(8), x, lambda x, step: (x - wanted) / made.sigmas[step], unit_noise)
    # LCM mixes in a trace of its input (c_skip), 6e-6 at its last timestep.
    assert (out - wanted).abs().max() < (1e-4 if sampler == "lcm" else 1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_the_input_left_alone(sampler, dtype):
    made = laid_out(sampler, 8, 2)
    start = picture(dtype) + made.sigmas[0] * unit_noise(START_STREAM, dtype)
    copy = start.clone()
    x = ours(sampler, made, split_phases(6, 2), dtype, start)
    assert x.dtype == dtype
    assert torch.equal(start, copy)
    exact = ours(sampler, made, split_phases(6, 2))
    assert float((x.double() - exact).abs().max() / exact.std()) < (1e-12 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_arrays_are_stepped_alike(sampler, dtype):
    made = laid_out(sampler, 8, 2)
    start = (picture() + made.sigmas[0] * unit_noise(START_STREAM)).numpy().astype(dtype)

    def denoise(x, step):
        return eps_of(made)(torch.from_numpy(x), step).numpy()

    def noise(stream):
        return unit_noise(stream).numpy().astype(dtype)

    x = run_phase(sampler, made, range(6), start, denoise, noise)
    y = run_phase(
        sampler, made, range(6), torch.from_numpy(start), eps_of(made), lambda stream: torch.from_numpy(noise(stream))
    )
    assert x.dtype == dtype
    assert np.allclose(x, y.numpy(), rtol=0, atol=1e-12 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_windows_of_a_batch_do_not_meet(sampler):
    made = laid_out(sampler, 8, 2)
    start = picture() + made.sigmas[0] * unit_noise(START_STREAM)
    other = start.clone()
    other[1] = float("nan")
    x, y = (run_phase(sampler, made, range(6), s, eps_of(made), unit_noise) for s in (start, other))
    assert torch.equal(x[0], y[0])
    assert y[1].isnan().all()


def test_each_step_asks_the_model_once_and_in_order():
    made, calls = laid_out("dpmpp-2m-karras", 8, 2), []
    run_phase("dpmpp-2m-karras", made, range(2, 5), picture(), eps_of(made, calls), unit_noise)
    assert calls == [2, 3, 4]
