"""The denoiser: guidance, spans of controls, and windows that never meet."""

import pytest
import torch
from small import draw

from mapstyle.engines.diffusion.denoiser import Denoiser, is_on
from mapstyle.engines.diffusion.nets import wrap_net
from mapstyle.engines.diffusion.prompt import Prompt
from mapstyle.engines.diffusion.schedule import schedule
from mapstyle.engines.diffusion.settings import Control
from mapstyle.errors import EngineError

SIDE = 8
STEPS, FIRST = 8, 2
EDGES = Control(image="edges", net="union", mode="thin-line", scale=0.6)
REGIONS = Control(image="segmentation", net="union", mode="segment", scale=0.9)
PLAIN = Control(image="edges", net="plain", scale=0.7)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


BOTH, UNWANTED = slice(None), slice(1)


def denoiser(parts, controls=(), cfg=1.0, cfg_steps=0, prompts=BOTH):
    return Denoiser(
        parts.unet,
        {"plain": wrap_net(parts.controlnet, "plain", "plain"), "union": wrap_net(parts.union, "union", "union")},
        controls,
        Prompt(normal(2, 77, 80, seed=7)[prompts], normal(2, 48, seed=8)[prompts], ""),
        torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]]),
        schedule("euler", "trailing", STEPS, {}),
        first=FIRST,
        executed=STEPS - FIRST,
        cfg=cfg,
        cfg_steps=cfg_steps,
    )


def image(kind=draw.streets, seeds=(0,)):
    drawn = [torch.from_numpy(kind(8 * SIDE, 8 * SIDE, seed)).permute(2, 0, 1) for seed in seeds]
    return torch.stack(drawn)


def latents(batch=1, dtype=torch.float32):
    return normal(batch, 4, SIDE, SIDE, seed=3, dtype=dtype) * 2


def test_spans_count_as_those_of_diffusers():
    # keep[i] of the stock pipelines, written out: 1 where not (i / n < start or (i + 1) / n > end).
    def steps(executed, **span):
        return [i for i in range(executed) if is_on(Control(image="edges", net="plain", **span), i, executed)]

    assert steps(3, end=0.5) == [0]
    assert steps(4, end=0.5) == [0, 1]
    assert steps(10, start=0.3, end=0.7) == [3, 4, 5, 6]
    assert steps(4, start=0.3, end=0.4) == []
    assert steps(4) == [0, 1, 2, 3]
    assert steps(4, scale=0.0) == []


@pytest.mark.parametrize("controls", [(), (PLAIN,), (EDGES, REGIONS)])
def test_guidance_pushes_away_from_the_negative_prompt(quick64, controls):
    x, images = latents(2, torch.float64), {i: image(seeds=(i, 9)) for i in range(len(controls))}
    guided = denoiser(quick64, controls, cfg=5.0, cfg_steps=2)
    alone = denoiser(quick64, controls)
    opposite = denoiser(quick64, controls, prompts=UNWANTED)
    hints = [made.hints(images) for made in (guided, alone, opposite)]
    for step in (0, 1):
        wanted, unwanted = alone(x, step, hints[1]), opposite(x, step, hints[2])
        expected = unwanted + 5 * (wanted - unwanted)
        torch.testing.assert_close(guided(x, step, hints[0]), expected, rtol=0, atol=1e-11)
        assert (expected - wanted).abs().max() > 0.1
    torch.testing.assert_close(guided(x, 2, hints[0]), alone(x, 2, hints[1]), rtol=0, atol=1e-11)
    assert guided.evaluations == 2 * 2 + 2 * 2 + 2
    assert alone.evaluations == 3 * 2
    assert guided.net_evaluations == (guided.evaluations if controls else 0)


@pytest.mark.parametrize(
    ("controls", "later", "evaluations"),
    [([PLAIN], [], 3), ([EDGES], [], 3), ([EDGES, REGIONS], [REGIONS], 6), ([PLAIN, REGIONS], [REGIONS], 9)],
)
def test_a_control_outside_its_span_costs_nothing_and_does_nothing(quick64, controls, later, evaluations):
    x = latents(1, torch.float64)
    half = denoiser(quick64, [controls[0].model_copy(update={"end": 0.5}), *controls[1:]])
    rest = denoiser(quick64, later)
    hints = half.hints({i: image(seeds=(i,)) for i in range(len(controls))})
    known = rest.hints({i: image(seeds=(len(controls) - 1,)) for i in range(len(later))})
    for step in range(STEPS - FIRST):
        assert torch.equal(half(x, step, hints), rest(x, step, known)) == (step >= 3)
    assert half.net_evaluations == evaluations
    assert half.evaluations == rest.evaluations == 6
    assert rest.net_evaluations == 6 * len(later)


def test_controls_of_one_union_net_share_an_evaluation_and_those_of_a_plain_net_do_not(quick64):
    x = latents(1, torch.float64)
    several = denoiser(quick64, [PLAIN, EDGES, PLAIN, REGIONS, EDGES.model_copy(update={"scale": 0.0})])
    assert several.used == {0, 1, 2, 3}
    images = {0: image(), 1: image(), 2: image(draw.regions), 3: image(draw.regions)}
    one = several(x, 0, several.hints(images))
    assert several.net_evaluations == 3
    for i in range(4):
        other = several(x, 0, several.hints({**images, i: image(seeds=(5,))}))
        assert (one - other).abs().max() > 0.01
    # The order in which nets are named does not matter but for rounding.
    turned = denoiser(quick64, [REGIONS, PLAIN, EDGES, PLAIN])
    again = turned(x, 0, turned.hints({0: images[3], 1: images[2], 2: images[1], 3: images[0]}))
    torch.testing.assert_close(again, one, rtol=0, atol=1e-11)


@pytest.mark.parametrize("controls", [(PLAIN,), (EDGES,), (EDGES, REGIONS.model_copy(update={"end": 0.5}))])
def test_kept_hints_change_nothing(quick, controls):
    x, images = latents(2), {i: image(seeds=(i, 4)) for i in range(len(controls))}
    made = denoiser(quick, controls, cfg=5.0, cfg_steps=6)
    kept = made.hints(images)
    other = made.hints({**images, 0: image(seeds=(4, 0))})
    for step in range(6):
        seen = made(x, step, kept)
        assert torch.equal(seen, made(x, step, made.hints(images)))
        assert not torch.equal(seen, made(x, step, other))
    assert len(kept.made) == (2 if len(controls) == 2 else 1)


@pytest.mark.parametrize("controls", [(), (PLAIN,), (EDGES, REGIONS)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_window_never_sees_its_companions(zoo, controls, dtype):
    from small.zoo import load_nets

    parts = load_nets(zoo, quick=True, dtype=dtype)
    made = denoiser(parts, controls, cfg=5.0, cfg_steps=1)
    x, images = latents(4), {i: image(seeds=range(i, i + 4)).float() / 255 for i in range(len(controls))}
    seen = made(x, 0, made.hints(images))
    for slot, fill in ((0, 0.0), (1, float("nan")), (3, None)):

        def alone(values, slot=slot, fill=fill):
            other = normal(*values.shape, seed=77) if fill is None else torch.full_like(values, fill)
            other[slot] = values[slot]
            return other

        other = made(alone(x), 0, made.hints({i: alone(part) for i, part in images.items()}))
        assert torch.equal(seen[slot], other[slot])
        assert not torch.equal(seen[slot - 1], other[slot - 1])
    if controls:
        assert not torch.equal(seen[0], made(x, 0, made.hints({i: part.flip(0) for i, part in images.items()}))[0])


def test_images_may_be_bytes_and_the_state_keeps_its_precision(quick):
    made = denoiser(quick, [PLAIN])
    bytes_, floats = image(draw.regions), image(draw.regions).float() / 255
    seen = made(latents(), 0, made.hints({0: bytes_}))
    assert torch.equal(seen, made(latents(), 0, made.hints({0: floats})))
    assert seen.dtype == torch.float32
    exact = made(latents(dtype=torch.float64), 0, made.hints({0: bytes_}))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), seen, rtol=0, atol=1e-5)


def test_a_mode_that_the_net_was_not_trained_for_is_refused():
    from diffusers import ControlNetUnionModel
    from small.nets import HINT, MODES, UNET, control_config

    with torch.device("meta"):
        base = ControlNetUnionModel(**control_config(UNET, HINT, MODES, {"num_control_type": 6}))
    net = wrap_net(base, "union", "union")
    tile = Control(image="painter", net="union", mode="tile")
    arguments = dict(prompt=Prompt(torch.zeros(1, 77, 80), torch.zeros(1, 48), ""), time_ids=torch.zeros(1, 6),
                     schedule=schedule("euler", "trailing", 4, {}), first=0, executed=4, cfg=1.0, cfg_steps=0)  # fmt: skip
    with pytest.raises(EngineError, match=r"net 'union'.*mode 'tile' \(known: pose, .*segment\).*ProMax"):
        Denoiser(base, {"union": net}, [tile], **arguments)
    Denoiser(base, {"union": net}, [EDGES], **arguments)


def test_a_batch_may_be_done_again_in_float32(zoo):
    from small.zoo import load_nets

    parts = load_nets(zoo, quick=True, dtype="bfloat16")
    made, x = denoiser(parts, [EDGES, REGIONS], cfg=5.0, cfg_steps=1), latents()
    hints = made.hints({0: image(), 1: image(draw.regions)})
    coarse = made(x, 0, hints)
    for net in (parts.unet, parts.union):
        net.float()
    fine = made(x, 0, hints)
    assert torch.equal(fine, made(x, 0, made.hints(hints.images)))
    assert 1e-3 < (fine - coarse).abs().max() < 1
    for net in (parts.unet, parts.union):
        net.bfloat16()
    assert torch.equal(coarse, made(x, 0, hints))
