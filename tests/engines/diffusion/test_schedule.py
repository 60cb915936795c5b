"""Schedules are diffusers' own, whole or cut, and models they do not fit are refused."""

from itertools import pairwise

import pytest
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)

from mapstyle.engines.diffusion.schedule import LCM_STEPS, schedule
from mapstyle.engines.diffusion.settings import SAMPLERS
from mapstyle.errors import EngineError

# What stabilityai/stable-diffusion-xl-base-1.0 says of itself.
SDXL = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
STOCK = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler-ancestral": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp-2m-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}


@pytest.mark.parametrize("sampler", STOCK)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 4, 8, 30, 200])
def test_tables_are_those_of_the_stock_scheduler(sampler, spacing, steps):
    kind, more = STOCK[sampler]
    stock = kind.from_config(SDXL, timestep_spacing=spacing, **more)
    stock.set_timesteps(steps)
    made = schedule(sampler, spacing, steps, SDXL)
    assert made.timesteps == tuple(stock.timesteps.tolist())
    assert made.sigmas == tuple(stock.sigmas.tolist())
    assert len(made.sigmas) == len(made.timesteps) + 1 == steps + 1


def test_spacing_and_betas_move_a_schedule():
    leading = schedule("euler", "leading", 8, SDXL)
    assert schedule("euler", "trailing", 8, SDXL).sigmas != leading.sigmas
    assert schedule("euler", "leading", 8, SDXL | {"beta_end": 0.014}).sigmas != leading.sigmas
    assert schedule("euler", "leading", 8, SDXL | {"steps_offset": 0}).timesteps != leading.timesteps
    # How its authors would sample is not a property of a model.
    assert schedule("euler", "leading", 8, SDXL | {"use_karras_sigmas": True}) == leading


@pytest.mark.parametrize("steps", [1, 4, 6, 8, 50])
def test_lcm_runs_the_stock_timesteps_with_their_noise_levels(steps):
    stock = LCMScheduler.from_config(SDXL)
    stock.set_timesteps(steps)
    made = schedule("lcm", "leading", steps, SDXL)
    assert made.timesteps == tuple(stock.timesteps.tolist())
    for t, sigma in zip(made.timesteps, made.sigmas[:-1], strict=True):
        kept = float(stock.alphas_cumprod[int(t)])
        assert sigma == pytest.approx(((1 - kept) / kept) ** 0.5, rel=1e-12)
    assert made.sigmas[-1] == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("steps", "strength"), [(4, 0.75), (8, 0.5), (8, 1.0), (30, 0.7)])
def test_a_cut_schedule_is_what_the_stock_pipeline_runs(sampler, steps, strength):
    from diffusers import StableDiffusionXLControlNetImg2ImgPipeline

    class Rest:
        """The pipeline without its nets: its ``get_timesteps`` needs a scheduler only."""

    kind, more = STOCK.get(sampler, (LCMScheduler, {}))
    Rest.scheduler = kind.from_config(SDXL, timestep_spacing="trailing", **more)
    Rest.scheduler.set_timesteps(steps)
    stock, count = StableDiffusionXLControlNetImg2ImgPipeline.get_timesteps(Rest, steps, strength, "cpu")
    made = schedule(sampler, "trailing", steps, SDXL).cut(steps - int(steps * strength))
    assert made.timesteps == tuple(stock.tolist())
    assert len(made.timesteps) == count == len(made.sigmas) - 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_schedule_goes_down_to_nothing(sampler):
    for steps in (1, 2, 7, 30, 50):
        sigmas = schedule(sampler, "trailing", steps, SDXL).sigmas
        assert sigmas[-1] == 0
        assert all(a > b for a, b in pairwise(sigmas))


@pytest.mark.parametrize("steps", [61, 103, 121, 122])
def test_no_timestep_is_outside_what_was_trained(steps):
    stock = EulerDiscreteScheduler.from_config(SDXL, timestep_spacing="trailing")
    stock.set_timesteps(steps)
    made = schedule("euler", "trailing", steps, SDXL)
    # The stock table has one timestep more, -1, until diffusers mends its rounding.
    assert made.timesteps == tuple(stock.timesteps.tolist())[:steps]
    assert len(made.sigmas) == steps + 1
    assert made.sigmas[-1] == 0 <= min(made.timesteps)


def test_a_long_lcm_schedule_is_refused_with_its_limit():
    assert len(schedule("lcm", "leading", LCM_STEPS, SDXL).timesteps) == LCM_STEPS
    with pytest.raises(EngineError, match="51 is not possible with the sampler lcm; choose 1 to 50"):
        schedule("lcm", "leading", LCM_STEPS + 1, SDXL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type is 'v_prediction'.*wrong picture.*another base"),
        ({"prediction_type": "sample"}, "prediction_type is 'sample'"),
        ({"_class_name": "EDMDPMSolverMultistepScheduler"}, "EDMDPMSolverMultistepScheduler.*scaled otherwise"),
        ({"rescale_betas_zero_snr": True}, "terminal SNR 0.*another base"),
        ({"beta_start": "low"}, "beta_start: .*number"),
        ({"beta_end": float("nan")}, "beta_end"),
        ({"beta_schedule": "spiral"}, "beta_schedule"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas must be 1000 numbers"),
    ],
)
def test_models_that_do_not_fit_are_refused_in_one_line(change, words):
    with pytest.raises(EngineError, match=words) as refusal:
        schedule("lcm", "leading", 4, SDXL | change)
    assert "\n" not in str(refusal.value)
    assert "scheduler_config.json" in str(refusal.value)


def test_trained_betas_are_those_that_count():
    betas = [0.001 + 0.00001 * i for i in range(1000)]
    made = schedule("euler", "trailing", 4, SDXL | {"trained_betas": betas})
    stock = EulerDiscreteScheduler.from_config(SDXL | {"trained_betas": betas}, timestep_spacing="trailing")
    stock.set_timesteps(4)
    assert made.sigmas == tuple(stock.sigmas.tolist()) != schedule("euler", "trailing", 4, SDXL).sigmas


def test_an_unknown_sampler_is_named():
    with pytest.raises(EngineError, match="Did you mean 'euler'"):
        schedule("eulr", "leading", 4, SDXL)
