"""Our loop on one window gives what diffusers' own img2img pipelines give: same noise, controls and steps."""

import pytest
import torch
from small import draw

from mapstyle.engines.diffusion.denoiser import Denoiser
from mapstyle.engines.diffusion.nets import wrap_net
from mapstyle.engines.diffusion.prompt import Prompt
from mapstyle.engines.diffusion.samplers import run_phase, stream_after
from mapstyle.engines.diffusion.schedule import schedule
from mapstyle.engines.diffusion.settings import UNION_MODES, Control

SIDE, STEPS, FIRST = 8, 6, 2
SIZES = {"original_size": (1024, 1024), "crops_coords_top_left": (16, 32), "target_size": (960, 1024)}
TABLES = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SAMPLERS = {
    "euler": ("EulerDiscreteScheduler", "trailing", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", "trailing", {}),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", "leading", {"use_karras_sigmas": True}),
    "lcm": ("LCMScheduler", "leading", {}),
}
VARIANCE_PRESERVING = {"dpmpp-2m-karras", "lcm"}
PLAIN = Control(image="edges", net="plain", scale=0.7)
SECOND = Control(image="segmentation", net="plain", scale=0.4)
EDGES = Control(image="edges", net="union", mode="thin-line", scale=0.6)
REGIONS = Control(image="segmentation", net="union", mode="segment", scale=0.9)
CONTROLS = {"none": [], "plain": [PLAIN], "union": [EDGES], "two modes": [EDGES, REGIONS]}
SAME, OTHER = 1e-6, 1e-2


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PROMPT = Prompt(normal(2, 77, 80, seed=7), normal(2, 48, seed=8), "")


def image(control, seed=0):
    kind = {"edges": draw.streets, "segmentation": draw.regions}[control.image]
    return torch.from_numpy(kind(8 * SIDE, 8 * SIDE, seed)).permute(2, 0, 1)[None].double() / 255


def laid_out(sampler):
    return schedule(sampler, SAMPLERS[sampler][1], STEPS, TABLES)


def begin(sampler):
    return normal(1, 4, SIDE, SIDE, seed=1) + laid_out(sampler).sigmas[FIRST] * normal(1, 4, SIDE, SIDE, seed=2)


def ours(parts, sampler, controls, cfg, x=None, seed=0):
    tables = laid_out(sampler)
    executed = STEPS - FIRST
    nets = {"plain": wrap_net(parts.controlnet, "plain", "plain"), "union": wrap_net(parts.union, "union", "union")}
    denoise = Denoiser(
        parts.unet, nets, controls, PROMPT, torch.tensor([[1024.0, 1024, 16, 32, 960, 1024]]), tables,
        first=FIRST, executed=executed, cfg=cfg, cfg_steps=executed if cfg > 1 else 0,
    )  # fmt: skip
    hints = denoise.hints({i: image(control, seed) for i, control in enumerate(controls)})
    drawn = torch.Generator().manual_seed(5)
    streams = {stream_after(step): torch.randn(1, 4, SIDE, SIDE, generator=drawn, dtype=torch.float64)
               for step in range(executed)}  # fmt: skip
    return run_phase(
        sampler, tables.cut(FIRST), range(executed), begin(sampler) if x is None else x,
        lambda state, step: denoise(state, step, hints), lambda stream: streams[stream],
    )  # fmt: skip


def stock(parts, sampler, controls, cfg, x=None, first=FIRST, **more):
    """Run diffusers' pipeline for these controls, from its own tables."""
    import diffusers

    kind, spacing, extra = SAMPLERS[sampler]
    scheduler = getattr(diffusers, kind)(**TABLES, timestep_spacing=spacing, **extra)
    unused = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    given = {**unused, "unet": parts.unet, "scheduler": scheduler}
    names = {control.net for control in controls}
    images = [image(control) for control in controls]
    if not controls:
        pipeline = diffusers.StableDiffusionXLImg2ImgPipeline(**given, add_watermarker=False)
    elif names == {"union"}:
        make = diffusers.StableDiffusionXLControlNetUnionImg2ImgPipeline
        pipeline = make(**given, controlnet=parts.union, add_watermarker=False)
        more["control_mode"] = [UNION_MODES[control.mode] for control in controls]
        more |= {"control_image": images, "controlnet_conditioning_scale": [control.scale for control in controls]}
        more["control_guidance_end"] = [control.end for control in controls]
    else:
        make = diffusers.StableDiffusionXLControlNetImg2ImgPipeline
        one = len(controls) == 1
        net = parts.controlnet if one else [parts.controlnet] * len(controls)
        pipeline = make(**given, controlnet=net, add_watermarker=False)
        scales, ends = [control.scale for control in controls], [control.end for control in controls]
        more |= {"control_image": images[0] if one else images, "control_guidance_end": ends[0] if one else ends}
        more["controlnet_conditioning_scale"] = scales[0] if one else scales
    pipeline.set_progress_bar_config(disable=True)
    state = begin(sampler) if x is None else x
    if sampler in VARIANCE_PRESERVING:
        state = state / (1 + laid_out(sampler).sigmas[first] ** 2) ** 0.5
    return pipeline(
        image=torch.zeros(1, 3, 8 * SIDE, 8 * SIDE), latents=state, strength=(STEPS - first) / STEPS + 1e-6,
        num_inference_steps=STEPS, guidance_scale=cfg, generator=torch.Generator().manual_seed(5), output_type="latent",
        prompt_embeds=PROMPT.embeds[1:], negative_prompt_embeds=PROMPT.embeds[:1],
        pooled_prompt_embeds=PROMPT.pooled[1:], negative_pooled_prompt_embeds=PROMPT.pooled[:1], **SIZES, **more,
    ).images  # fmt: skip


def far(a, b):
    """Say how far two results are apart, in standard deviations of the first."""
    return float((a - b).abs().max() / a.std())


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("cfg", [1.0, 5.0])
@pytest.mark.parametrize("controls", CONTROLS)
def test_our_loop_is_the_stock_pipeline(quick64, sampler, cfg, controls):
    used = CONTROLS[controls]
    expected = stock(quick64, sampler, used, cfg)
    assert far(expected, ours(quick64, sampler, used, cfg)) < SAME
    # What must make a difference does, far above that tolerance.
    if used:
        assert far(expected, ours(quick64, sampler, used, cfg, seed=1)) > OTHER


def test_what_is_given_matters(quick64):
    expected = stock(quick64, "euler", CONTROLS["two modes"], 5.0)
    seen = {
        "guidance": ours(quick64, "euler", CONTROLS["two modes"], 4.5),
        "controls": ours(quick64, "euler", CONTROLS["union"], 5.0),
        "scale": ours(quick64, "euler", [EDGES.model_copy(update={"scale": 0.5}), REGIONS], 5.0),
        "start": ours(quick64, "euler", CONTROLS["two modes"], 5.0, x=begin("euler") * 1.01),
    }
    assert {name: far(expected, result) > OTHER for name, result in seen.items()} == dict.fromkeys(seen, True)


def test_two_controls_of_one_plain_net_are_added(quick64):
    expected = stock(quick64, "euler", [PLAIN, SECOND], 5.0)
    assert far(expected, ours(quick64, "euler", [PLAIN, SECOND], 5.0)) < SAME
    assert far(expected, ours(quick64, "euler", [PLAIN], 5.0)) > OTHER


def test_the_named_networks_agree_too(nets64):
    expected = stock(nets64, "dpmpp-2m-karras", CONTROLS["two modes"], 5.0)
    assert far(expected, ours(nets64, "dpmpp-2m-karras", CONTROLS["two modes"], 5.0)) < SAME


def test_an_early_end_of_a_plain_net_is_the_stock_one(quick64):
    half = [PLAIN.model_copy(update={"end": 0.5})]
    expected = stock(quick64, "euler", half, 5.0)
    assert far(expected, ours(quick64, "euler", half, 5.0)) < SAME
    assert far(expected, ours(quick64, "euler", [PLAIN], 5.0)) > OTHER


@pytest.mark.parametrize("ends", [(0.5, 0.5), (0.5, 1.0)])
def test_an_early_end_of_a_union_net_really_is_one(quick64, ends):
    """Stock pipelines go on calling a union net that has ended, with a blank condition at full strength."""
    ended = [control.model_copy(update={"end": end}) for control, end in zip((EDGES, REGIONS), ends, strict=True)]
    middle = {}

    def keep(pipeline, step, timestep, state):
        middle[step] = state["latents"]
        return {}

    whole = stock(quick64, "euler", CONTROLS["two modes"], 5.0, callback_on_step_end=keep)
    left = [control for control in (EDGES, REGIONS) if ended[(EDGES, REGIONS).index(control)].end == 1]
    # Really ended: the first half with both, and what it came to continued by a pipeline without those that ended.
    expected = stock(quick64, "euler", left, 5.0, x=middle[1], first=FIRST + 2)
    seen = ours(quick64, "euler", ended, 5.0)
    assert far(expected, seen) < SAME
    assert far(expected, whole) > OTHER
    assert far(stock(quick64, "euler", ended, 5.0), seen) > OTHER
