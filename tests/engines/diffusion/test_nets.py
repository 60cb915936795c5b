"""ControlNets cut in two: equal to diffusers' own forward, and no sample sees another."""

import pytest
import torch
from small import draw
from small.nets import HINT, control_config, fill, quick

from mapstyle.engines.diffusion.nets import wrap_net
from mapstyle.errors import EngineError

SIDE = 8


def picture(kind, seed=0, dtype=torch.float64):
    return torch.from_numpy(kind(8 * SIDE, 8 * SIDE, seed)).permute(2, 0, 1)[None].to(dtype) / 255


def pictures(count):
    return [picture(kind) for kind in (draw.streets, draw.regions, draw.streets)[:count]]


def inputs(batch, dtype=torch.float64, seed=0):
    """Make latents, timestep, prompt, pooled prompt and sizes."""
    make = torch.Generator().manual_seed(seed)
    x, embeds, pooled = (
        torch.randn(batch, *shape, generator=make, dtype=dtype) for shape in ((4, SIDE, SIDE), (77, 80), (48,))
    )
    return x, torch.tensor(501.0), embeds, pooled, torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]]).repeat(batch, 1)


def stock(net, given, images, modes, scales):
    """Call diffusers' own forward; gives [batch, everything]."""
    x, timestep, embeds, pooled, time_ids = given
    more = {"controlnet_cond": images[0], "conditioning_scale": scales[0]}
    if modes:
        types = torch.zeros(len(x), net.config.num_control_type, dtype=x.dtype)
        types[:, list(modes)] = 1
        more = {"controlnet_cond": images, "conditioning_scale": scales}
        more |= {"control_type": types, "control_type_idx": modes}
    conditions = {"text_embeds": pooled, "time_ids": time_ids}
    down, middle = net(x, timestep, embeds, added_cond_kwargs=conditions, return_dict=False, **more)
    return torch.cat([part.flatten(1) for part in (*down, middle)], 1)


def ours(net, given, images, modes, scales):
    model = wrap_net(net, "union" if modes else "plain", "streets")
    down, middle = model.residuals(*given, model.hint(images, modes, scales))
    return torch.cat([part.flatten(1) for part in (*down, middle)], 1)


def far(a, b):
    """Say how far two results are apart, in standard deviations of the first."""
    return float((a - b).abs().max() / a.std())


def test_a_plain_net_gives_what_diffusers_gives(quick64):
    net, given, images = quick64.controlnet, inputs(1), pictures(1)
    seen = ours(net, given, images, [], [0.7])
    assert far(stock(net, given, images, [], [0.7]), seen) < 1e-12
    assert far(seen, ours(net, given, [picture(draw.streets, 1)], [], [0.7])) > 0.1
    assert far(seen, ours(net, given, images, [], [0.8])) > 0.1


def test_a_net_without_attention_that_wants_blue_first_gives_what_diffusers_gives():
    from diffusers import ControlNetModel

    bare = {"down_block_types": ("DownBlock2D",) * 3, "mid_block_type": "UNetMidBlock2D"}
    order = {"controlnet_conditioning_channel_order": "bgr"}
    net = fill(ControlNetModel(**control_config(quick(), HINT, bare, order))).double()
    given, image = inputs(1), picture(draw.regions)
    seen = ours(net, given, [image], [], [1.0])
    assert far(stock(net, given, [image], [], [1.0]), seen) < 1e-12
    assert far(seen, ours(net, given, [image.flip(1)], [], [1.0])) > 0.01


@pytest.mark.parametrize(("modes", "scales"), [([3], [0.6]), ([3, 5], [0.6, 0.9]), ([5, 1, 3], [0.6, 0.9, 1.0])])
def test_a_union_net_gives_what_diffusers_gives_alone_in_its_batch(quick64, modes, scales):
    net, given, images = quick64.union, inputs(1), pictures(len(modes))
    seen = ours(net, given, images, modes, scales)
    assert far(stock(net, given, images, modes, scales), seen) < 1e-12
    assert far(seen, ours(net, given, [picture(draw.streets, 1), *images[1:]], modes, scales)) > 0.1
    assert far(seen, ours(net, given, images, [4, *modes[1:]], scales)) > 0.1
    assert far(seen, ours(net, given, images, modes, [0.7, *scales[1:]])) > 0.01


def test_a_hint_is_repeated_over_the_halves_of_guidance(quick64):
    x, timestep, *rest = inputs(2)
    pair = (torch.cat([x[:1], x[:1]]), timestep, *rest)
    images = pictures(2)
    # The stock net's attention across the batch finds each image twice, which changes nothing.
    doubled = [torch.cat([image, image]) for image in images]
    seen = ours(quick64.union, pair, images, [3, 5], [1.0, 0.5])
    assert far(stock(quick64.union, pair, doubled, [3, 5], [1.0, 0.5]), seen) < 1e-12
    assert far(seen[0], seen[1]) > 0.1


@pytest.mark.parametrize("modes", [[], [3], [3, 5]])
@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_samples_never_meet_in_our_nets(quick, modes, value):
    net = quick.union if modes else quick.controlnet
    count = max(1, len(modes))
    whole = [torch.cat([picture(draw.streets, seed + 9 * i, torch.float32) for seed in range(4)]) for i in range(count)]
    given = inputs(4, torch.float32)
    seen = ours(net, given, whole, modes, [1.0] * count)
    for slot in range(4):
        alone = [torch.full_like(image, value) for image in whole]
        for image, original in zip(alone, whole, strict=True):
            image[slot] = original[slot]
        x = torch.full_like(given[0], value)
        x[slot] = given[0][slot]
        other = ours(net, (x, *given[1:]), alone, modes, [1.0] * count)
        assert torch.equal(seen[slot], other[slot])
        assert not torch.equal(seen[slot - 1], other[slot - 1])


@pytest.mark.parametrize("modes", [[3], [3, 5]])
def test_samples_do_meet_in_the_stock_union_net(quick64, modes):
    """Once diffusers has mended this, the repair in ``UnionNet.hint`` may go."""
    given, scales = inputs(2), [1.0] * len(modes)
    one, two = ([torch.cat([image, torch.full_like(image, v)]) for image in pictures(len(modes))] for v in (0.0, 1.0))
    leak = far(stock(quick64.union, given, one, modes, scales)[0], stock(quick64.union, given, two, modes, scales)[0])
    assert leak > 1e-6
    assert (
        far(ours(quick64.union, given, one, modes, scales)[0], ours(quick64.union, given, two, modes, scales)[0]) == 0
    )


def test_only_the_right_kind_of_net_is_taken(quick):
    from diffusers import ControlNetModel

    with pytest.raises(EngineError, match=r"net 'streets'.*not a plain ControlNet; try kind = 'union'"):
        wrap_net(quick.union, "plain", "streets")
    with pytest.raises(EngineError, match=r"net 'streets'.*not a union ControlNet; try kind = 'plain'"):
        wrap_net(quick.controlnet, "union", "streets")
    with torch.device("meta"):
        foreign = ControlNetModel(block_out_channels=(8,), down_block_types=("DownBlock2D",), norm_num_groups=4,
                                  global_pool_conditions=True)  # fmt: skip
    with pytest.raises(EngineError, match=r"net 'streets'.*not made for SDXL"):
        wrap_net(foreign, "plain", "streets")
    assert wrap_net(quick.union, "union", "streets").modes == 8
    assert wrap_net(quick.controlnet, "plain", "streets").modes == 0
