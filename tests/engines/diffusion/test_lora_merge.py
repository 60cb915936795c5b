"""LoRAs in the weights: what peft would make of them, and the base back to the bit."""

import json
import math
from pathlib import Path

import pytest
from small import loras as made
from small.zoo import load_nets

from mapstyle.engines.diffusion.lora_file import LoraFile, read_lora
from mapstyle.engines.diffusion.lora_merge import Merger, Stacked, delta
from mapstyle.errors import EngineError, StyleError

PARTS = ("unet", "text_encoder", "text_encoder_2")
# Differences of a picture in float64, in shares of its standard deviation; adapters that diffusers keeps in their
# files' float32 reach 1e-7.
SAME, SEEN = 1e-6, 1e-2


def some(*kinds, first_layers=True, **more):
    """Choose few layers: those of the first of ten transformer blocks."""
    chosen = made.modules(*kinds, **more)
    return {
        name: shape
        for name, shape in chosen.items()
        if not first_layers or "transformer_blocks" not in name or ".transformer_blocks.0." in name
    }


def weights(nets):
    return {
        f"{part}.{name}": value.clone() for part in PARTS for name, value in getattr(nets, part).state_dict().items()
    }


def changed(before, after):
    import torch

    return {name for name in before if not torch.equal(before[name], after[name])}


def merger_of(nets):
    return Merger(nets.unet, (nets.text_encoder, nets.text_encoder_2))


def picture(nets):
    """Denoise 8 latents once, with a prompt that goes through both text encoders."""
    import torch

    unet = nets.unet
    ids = torch.tensor([[0, *(17 * place % 500 for place in range(75)), 518]])
    words = [net(ids, output_hidden_states=True) for net in (nets.text_encoder, nets.text_encoder_2)]
    latents = torch.linspace(-2, 2, 256, dtype=unet.dtype).sin().reshape(1, 4, 8, 8) * 1.4
    return unet(
        latents,
        500,
        torch.cat([told.hidden_states[-2] for told in words], dim=-1),
        added_cond_kwargs={
            "text_embeds": words[1].text_embeds,
            "time_ids": torch.tensor([[1024, 1024, 0, 0, 1024, 1024]], dtype=unet.dtype),
        },
    ).sample


def apart(one, other):
    return float((one - other).abs().max() / other.std())


@pytest.fixture(scope="module")
def base(zoo):
    return load_nets(zoo, dtype="float64")


@pytest.fixture(scope="module")
def bare(base):
    """The picture without any LoRA."""
    return picture(base)


@pytest.fixture
def merger(base):
    """A merger on the base; every test that uses it also shows that the base comes back to the bit."""
    before = weights(base)
    merger = merger_of(base)
    yield merger
    merger.restore()
    assert not changed(before, weights(base))


@pytest.fixture(scope="module")
def stock_pipeline(zoo):
    import torch
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(zoo.sdxl, dtype=torch.float64, use_safetensors=True)


@pytest.fixture
def stock(stock_pipeline):
    yield stock_pipeline
    stock_pipeline.unload_lora_weights()


def by_peft(stock, files, scales):
    for name, path in files.items():
        stock.load_lora_weights(path, adapter_name=name)
    stock.set_adapters(list(files), scales)
    return picture(stock)


# ---------------------------------------------------------------- against the stock libraries


@pytest.mark.parametrize(
    "name",
    [
        "kohya-block",
        "kohya-outer",
        "kohya-no-alpha",
        "kohya-half",
        "kohya-ranks",
        "kohya-text",
        "peft-block",
        "peft-alpha",
        "peft-old-names",
    ],
)
def test_is_what_peft_makes_of_it(name, loras, base, merger, stock, bare):
    merger.apply([Stacked(read_lora(loras[name]), -0.7)])
    ours = picture(base)
    assert apart(ours, by_peft(stock, {"a": loras[name]}, [-0.7])) < SAME
    assert apart(ours, bare) > SEEN


@pytest.mark.parametrize("style", ["kohya-diffusers-names", "oldest"])
def test_other_names_of_the_same_layers(style, tmp_path, base, merger, stock):
    shapes = some("attention", "linear", "conv", inside="up_blocks.1.")
    path = tmp_path / "x.safetensors"
    if style == "oldest":
        shapes = {name: shape for name, shape in shapes.items() if ".attn" in name} | some("text")
        shapes = {name: shape for name, shape in shapes.items() if ".mlp." not in name}

        def oldest(name):
            name = made.peft_name(name)
            if name.startswith("unet."):
                head, _, last = name.replace(".to_out.0", ".to_out").rpartition(".")
                return f"{head}.processor.{last}_lora"
            head, _, last = name.rpartition(".")
            return f"{head}.to_{last.removesuffix('_proj')}_lora"

        made.write_peft(path, shapes, name_of=oldest, ends=(".down.weight", ".up.weight"))
    else:
        made.write_kohya(path, shapes, name_of=made.kohya_name_of_diffusers)
    file = read_lora(path)
    assert len(file.layers) == len(shapes)
    merger.apply([Stacked(file, 0.6)])
    assert apart(picture(base), by_peft(stock, {"a": path}, [0.6])) < SAME


@pytest.mark.parametrize("config", ["rank-stabilised", "patterns"])
def test_scale_is_read_from_the_header_diffusers_writes(config, tmp_path, base, merger, stock):
    shapes = some("attention", inside="mid_block")
    path = tmp_path / "x.safetensors"
    made.write_peft(path, shapes)
    plain = read_lora(path)
    aims = [name.removeprefix("unet.") for name in shapes]
    header = {"unet.r": made.RANK, "unet.lora_alpha": 3.0, "unet.target_modules": aims}
    if config == "patterns":
        header["unet.alpha_pattern"] = {"attn2.to_k": 9.0, "transformer_blocks.0.attn1.to_q": 0.5}
    else:
        header["unet.use_rslora"] = True
    made.write_peft(path, shapes, header={"format": "pt", "lora_adapter_metadata": json.dumps(header)})
    merger.apply([Stacked(read_lora(path), 0.9)])
    ours = picture(base)
    theirs = by_peft(stock, {"a": path}, [0.9])
    assert apart(ours, theirs) < SAME
    merger.apply([Stacked(plain, 0.9)])
    assert apart(picture(base), theirs) > SEEN


def test_several_of_both_key_styles_and_signs(loras, base, merger, stock, bare):
    files = {name: loras[name] for name in ("kohya-block", "peft-block", "kohya-other-block")}
    scales = [0.8, -0.4, 1.3]
    stack = [Stacked(read_lora(path), scale) for path, scale in zip(files.values(), scales, strict=True)]
    merger.apply(stack)
    ours = picture(base)
    theirs = by_peft(stock, {name.replace("-", ""): path for name, path in files.items()}, scales)
    assert apart(ours, theirs) < SAME
    for left_out in range(3):
        merger.apply([dose for place, dose in enumerate(stack) if place != left_out])
        assert apart(picture(base), ours) > SEEN / 10
    merger.apply(stack[::-1])
    assert apart(picture(base), ours) < 1e-12


def test_factors_by_block_are_those_of_peft(tmp_path, base, merger, stock):
    path = tmp_path / "x.safetensors"
    made.write_kohya(path, some("attention"))
    file = read_lora(path)
    blocks = {"down": 0.5, "down.2": 0.25, "down.2.1": -1.0, "mid": 0.0, "up.0.1": 2.0}
    merger.apply([Stacked(file, 0.7, None, blocks)])
    ours = picture(base)
    theirs = {
        "down": {"block_1": 0.5 * 0.7, "block_2": [0.25 * 0.7, -0.7]},
        "mid": 0.0,
        "up": {"block_0": [0.7, 1.4, 0.7], "block_1": 0.7},
    }
    assert apart(ours, by_peft(stock, {"a": path}, [{"unet": theirs}])) < SAME
    merger.apply([Stacked(file, 0.7)])
    assert apart(picture(base), ours) > SEEN


def test_text_encoders_have_their_own_weight(tmp_path, base, merger, stock):
    path = tmp_path / "x.safetensors"
    made.write_kohya(path, some("attention", inside="mid_block") | some("text"))
    file = read_lora(path)
    merger.apply([Stacked(file, 0.7, -0.3)])
    ours = picture(base)
    scales = {"unet": 0.7, "text_encoder": -0.3, "text_encoder_2": -0.3}
    assert apart(ours, by_peft(stock, {"a": path}, [scales])) < SAME
    for other in (None, 0.0):
        merger.apply([Stacked(file, 0.7, other)])
        assert apart(picture(base), ours) > SEEN


def test_dora_in_peft_keys_is_what_peft_makes_of_it(bad_loras, base, merger, stock, bare):
    merger.apply([Stacked(read_lora(bad_loras["dora-peft"]), 1.0)])
    ours = picture(base)
    assert apart(ours, by_peft(stock, {"a": bad_loras["dora-peft"]}, [1.0])) < SAME
    assert apart(ours, bare) > SEEN


# ---------------------------------------------------------------- every layer, exactly


@pytest.mark.parametrize("name", ["kohya-full", "kohya-locon", "peft-full"])
def test_all_layers_of_a_full_file(name, made_loras, base, merger):
    before = weights(base)
    merger.apply([Stacked(read_lora(made_loras[name].path), 0.6)])
    after = weights(base)
    told = {f"{place}.weight": difference for place, difference in made_loras[name].deltas.items()}
    assert changed(before, after) == told.keys()
    assert all(float((after[key] - before[key] - 0.6 * told[key]).abs().max()) < 1e-12 for key in told)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounded_once_and_dropped_to_the_bit(dtype, zoo, tmp_path):
    import torch

    nets = load_nets(zoo, quick=True, dtype=dtype)
    shapes = some("attention", "conv", inside="up_blocks.0.")
    pair = [made.write_kohya(tmp_path / f"{seed}.safetensors", shapes, seed=seed) for seed in (21, 22)]
    first, second = (read_lora(lora.path) for lora in pair)
    before = weights(nets)
    places = {part: value.data_ptr() for part, value in nets.unet.named_parameters()}
    merger = merger_of(nets)
    merger.apply([Stacked(first, 0.8), Stacked(second, -0.4)])
    both = weights(nets)
    for name in shapes:
        key = f"{name}.weight"
        exact = before[key].double() + 0.8 * pair[0].deltas[name] - 0.4 * pair[1].deltas[name]
        # One rounding moves a value by half a unit in its last place; two would move some by more.
        unit = torch.finfo(both[key].dtype).eps * 2 ** math.floor(math.log2(exact.abs().max()))
        assert float((both[key].double() - exact).abs().max()) < (0.51 if dtype != "float32" else 2) * unit
    assert changed(before, both) == {f"{name}.weight" for name in shapes}
    # What was on before leaves no trace.
    merger.apply([Stacked(second, 2.0)])
    assert changed(both, weights(nets))
    merger.apply([Stacked(first, 0.8), Stacked(second, -0.4)])
    assert not changed(both, weights(nets))
    merger.apply([Stacked(first, 0.0, None, {}), Stacked(second, 1.0, None, {"up": 0.0})])
    assert not changed(before, weights(nets))
    merger.apply([Stacked(first, 1.0)])
    merger.restore()
    assert not changed(before, weights(nets))
    assert places == {part: value.data_ptr() for part, value in nets.unet.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_libraries_do_not_give_the_base_back(dtype, zoo, tmp_path):
    """The reason for a merger of our own; when this fails, think again."""
    import torch
    from diffusers import StableDiffusionXLPipeline

    path = tmp_path / "x.safetensors"
    made.write_kohya(path, made.modules("attention", inside="mid_block.attentions.0.transformer_blocks.0."))
    nets = StableDiffusionXLPipeline.from_pretrained(zoo.sdxl, dtype=getattr(torch, dtype), use_safetensors=True)
    before = weights(nets)
    nets.load_lora_weights(path)
    nets.fuse_lora(components=["unet"])
    nets.unfuse_lora(components=["unet"])
    nets.unload_lora_weights()
    assert changed(before, weights(nets))


# ---------------------------------------------------------------- other kinds, by peft's own modules


def _peft_layers(kind, options, net):
    """Let peft put an adapter with random values on a net; give its factors, and the weights with it merged."""
    import peft
    import torch

    generator = torch.Generator().manual_seed(3)
    config = getattr(peft, f"{kind}Config")(target_modules=["linear", "square", "conv", "point"], **options)
    net = peft.inject_adapter_in_model(config, net, "a")
    with torch.no_grad():
        for name, value in net.named_parameters():
            if ".a" in name and "magnitude" in name:
                value.mul_(1 + torch.rand(value.shape, generator=generator))
            elif ".a" in name:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.4)
    factors = {name: value.clone() for name, value in net.state_dict().items() if ".a" in name}
    merged = {}
    for name, layer in net.named_children():
        layer.merge(adapter_names=["a"])
        merged[name] = layer.get_base_layer().weight.detach().clone()
    return factors, merged


def _layers():
    import torch

    torch.manual_seed(1)
    net = torch.nn.Module()
    net.linear, net.square = torch.nn.Linear(24, 36), torch.nn.Linear(20, 20)
    net.conv, net.point = torch.nn.Conv2d(12, 20, 3), torch.nn.Conv2d(12, 20, 1)
    return net.double()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LoHa", {"r": 4, "alpha": 2}),
        ("LoHa", {"r": 4, "alpha": 2, "use_effective_conv2d": True}),
        ("LoKr", {"r": 2, "alpha": 3}),
        ("LoKr", {"r": 1, "alpha": 3, "decompose_both": True, "decompose_factor": 4}),
        ("LoKr", {"r": 2, "alpha": 3, "use_effective_conv2d": True, "decompose_factor": 2}),
        ("LoKr", {"r": 50, "alpha": 50}),
        ("Lora", {"r": 3, "lora_alpha": 2}),
        ("Lora", {"r": 3, "lora_alpha": 2, "use_dora": True}),
    ],
)
@pytest.mark.parametrize("keys", ["kohya", "peft"])
def test_every_kind_is_what_peft_computes(keys, kind, options, tmp_path):
    import torch

    net = _layers()
    base = {name: layer.weight.detach().clone() for name, layer in net.named_children()}
    factors, merged = _peft_layers(kind, options, net)
    tensors = {}
    for name, value in factors.items():
        layer, _, part = name.replace(".a.weight", ".weight").removesuffix(".a").partition(".")
        if keys == "kohya":
            layer = f"lora_unet_{layer}"
            part = part.replace("lora_A", "lora_down").replace("lora_B", "lora_up")
            if "magnitude" in part:
                # LyCORIS keeps the lengths of outputs first, whatever the layer.
                part, value = "dora_scale", value.reshape(-1, *[1] * (base[name.split(".")[0]].ndim - 1))
            tensors[f"{layer}.alpha"] = torch.tensor(float(options.get("alpha", options.get("lora_alpha"))))
        else:
            layer = f"unet.{layer}"
        tensors[f"{layer}.{part}"] = value
    header = {}
    if keys == "peft":
        header["lora_adapter_metadata"] = json.dumps({f"unet.{name}": value for name, value in options.items()})
    path = made.save(tmp_path / "x.safetensors", tensors, header)
    file = read_lora(path)
    assert {layer.module for layer in file.layers} == merged.keys()
    for layer in file.layers:
        ours = delta(layer, base[layer.module])
        theirs = merged[layer.module] - base[layer.module]
        assert float((ours - theirs).abs().max()) < 1e-9 * float(theirs.abs().max()), layer.module
    # The same through the nets.
    net = _layers()
    merger = Merger(net)
    merger.apply([Stacked(file, 0.5)])
    for name, layer in net.named_children():
        expected = base[name] + 0.5 * (merged[name] - base[name])
        assert float((layer.weight - expected).abs().max()) < 1e-9
    merger.restore()
    assert all(torch.equal(layer.weight, base[name]) for name, layer in net.named_children())


def test_lengths_of_inputs_and_the_core_of_a_convolution(tmp_path):
    """LyCORIS' two forms that peft lacks: DoRA by inputs, checked by its definition, and lora_mid, by three layers."""
    import torch

    net = _layers()
    base = net.conv.weight.detach().clone()
    make = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(shape, generator=make, dtype=torch.float64)

    down, mid, up = draw(3, 12, 1, 1), draw(4, 3, 3, 3), draw(20, 4, 1, 1)
    lengths = draw(1, 12, 1, 1).abs() + 1
    tensors = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up, "alpha": torch.tensor(1.5)}
    path = tmp_path / "x.safetensors"
    made.save(path, {f"lora_unet_conv.{name}": value for name, value in tensors.items()}, {})
    product = delta(read_lora(path).layers[0], base)
    pixels = draw(1, 12, 7, 7)
    conv = torch.nn.functional.conv2d
    assert torch.allclose(conv(pixels, product), conv(conv(conv(pixels, down), mid), up) * 0.5, rtol=1e-12, atol=1e-12)

    made.save(path, {f"lora_unet_conv.{name}": value for name, value in {**tensors, "dora_scale": lengths}.items()}, {})
    merged = base + delta(read_lora(path).layers[0], base)
    assert torch.allclose(merged.transpose(0, 1).flatten(1).norm(dim=1), lengths.flatten())
    directions = torch.nn.functional.cosine_similarity(
        merged.transpose(0, 1).flatten(1), (base + product).transpose(0, 1).flatten(1)
    )
    assert torch.allclose(directions, torch.ones(12, dtype=torch.float64))


# ---------------------------------------------------------------- refusals leave the nets alone


USABLE = {"loha", "lokr", "lokr-no-header", "dora-kohya", "dora-kohya-rows", "dora-peft"}


def test_bad_files_are_refused_by_name_and_change_nothing(bad_loras, loras, base, merger):
    good = Stacked(read_lora(loras["kohya-other-block"]), 1.0)
    merger.apply([good])
    before = weights(base)
    bad = {name: path for name, path in bad_loras.items() if name not in USABLE}
    assert len(bad) > 30
    for name, path in bad.items():
        with pytest.raises(EngineError) as refusal:
            merger.apply([good, Stacked(read_lora(path), 1.0)])
        told = str(refusal.value)
        assert path.name in told, name
        assert "\n" not in told
        assert len(told) < 400 + len(str(path)), name
    assert not changed(before, weights(base))
    merger.restore()
    assert changed(before, weights(base))


def test_kinds_that_diffusers_refuses_or_garbles_have_an_effect(bad_loras, base, merger, bare):
    seen = {}
    for name in sorted(USABLE):
        merger.apply([Stacked(read_lora(bad_loras[name]), 0.8)])
        seen[name] = picture(base)
        assert apart(seen[name], bare) > SEEN / 100, name
    # The lengths of columns and of rows are different things.
    assert apart(seen["dora-kohya"], seen["dora-kohya-rows"]) > SEEN


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sd15-shared-blocks", "made for SD 1: its cross-attention reads 768"),
        ("sd15-no-header", "made for Stable Diffusion 1 or 2"),
        ("sd15-by-header", "made for 'sd_v1'"),
        ("refiner-by-header", "made for 'stable-diffusion-xl-v1-refiner/lora'"),
        ("flux-peft", "made for Flux"),
        ("stray-module", "has no layer 'input_blocks_4_1_transformer_blocks_9_attn1_to_q'"),
        ("wrong-width", "reads 40 values of a word, this base 80"),
        ("glora", "is GLoRA"),
        ("checkpoint", "is a whole checkpoint"),
        ("no-up", "has down of a LoRA and the rest is missing"),
        ("nan", "holds NaN or infinity"),
        ("stray", "'some.other.weight'"),
    ],
)
def test_reasons(name, reason, bad_loras, merger):
    with pytest.raises(EngineError) as refusal:
        merger.check(read_lora(bad_loras[name]))
    assert reason in str(refusal.value)


def test_fits_are_known_without_weights(loras, bad_loras):
    """The check runs on nets that have shapes alone, so a plan can be refused before anything is loaded."""
    import torch
    from diffusers import UNet2DConditionModel
    from small import nets

    with torch.device("meta"):
        small = Merger(UNet2DConditionModel(**nets.UNET))
        full = Merger(UNet2DConditionModel(**nets.FULL_UNET))
    file = read_lora(loras["kohya-locon"])
    small.check(file)
    with pytest.raises(EngineError, match="reads 80 values of a word, this base 2048"):
        full.check(file)
    with pytest.raises(EngineError, match="changes the text_encoder, which is not loaded"):
        small.check(read_lora(loras["kohya-text"]))


def test_same_layer_under_two_names(tmp_path, merger):
    shapes = some("attention", inside="mid_block")
    pairs = [made.write_kohya(tmp_path / "a.safetensors", shapes).path]
    pairs.append(made.write_kohya(tmp_path / "b.safetensors", shapes, name_of=made.kohya_name_of_diffusers).path)
    from safetensors.torch import load_file

    path = made.save(tmp_path / "both.safetensors", load_file(pairs[0]) | load_file(pairs[1]), {})
    with pytest.raises(EngineError, match=r"both\.safetensors: changes the layer .* under two names"):
        merger.check(read_lora(path))
    merger.check(read_lora(pairs[1]))


@pytest.mark.parametrize("key", ["up.3", "up.0.3", "middle", "down.1.5", "down_blocks.1", ""])
def test_blocks_that_are_not_there(key, loras, base, merger):
    before = weights(base)
    with pytest.raises(StyleError, match=f"'{key}' is no block of the UNet"):
        merger.apply([Stacked(read_lora(loras["kohya-block"]), 1.0, None, {"mid": 0.5, key: 1.0})])
    assert not changed(before, weights(base))


def test_overflow_is_told_and_leaves_the_base(zoo, tmp_path):
    nets = load_nets(zoo, quick=True, dtype="float16")
    before = weights(nets)
    path = tmp_path / "x.safetensors"
    made.write_kohya(path, some("attention", inside="mid_block"), alpha=4e5)
    merger = merger_of(nets)
    with pytest.raises(EngineError, match=r"unet\.mid_block.* overflow"):
        merger.apply([Stacked(read_lora(path), 4.0)])
    assert not changed(before, weights(nets))
    merger.apply([Stacked(read_lora(path), 1e-6)])
    assert changed(before, weights(nets))


def test_outer_layers_and_samplers_have_factors_too(tmp_path, base, merger):
    path = tmp_path / "x.safetensors"
    made.write_kohya(path, some("conv", "outer"))
    file = read_lora(path)
    before = weights(base)
    merger.apply([Stacked(file, 1.0, None, {"outer": 0.0, "down": 0.0, "up": 0.0, "mid": 0.0})])
    assert not changed(before, weights(base))
    for block, inside in (
        ("outer", "conv_in"),
        ("down.0", "down_blocks.0.downsamplers.0.conv"),
        ("up.1.2", "up_blocks.1.resnets.2.conv1"),
    ):
        others = {"outer": 0.0, "down": 0.0, "up": 0.0, "mid": 0.0, block: 1.0}
        merger.apply([Stacked(file, 1.0, None, others)])
        assert f"unet.{inside}.weight" in changed(before, weights(base))


def test_text_encoders_can_be_released(zoo, loras):
    import gc
    import weakref

    nets = load_nets(zoo, quick=True)
    unet, encoders = nets.unet, [nets.text_encoder, nets.text_encoder_2]
    merger = Merger(unet, encoders)
    file = read_lora(loras["kohya-text"])
    merger.apply([Stacked(file, 1.0)])
    gone = [weakref.ref(encoder) for encoder in encoders]
    merger.release_text_encoders()
    del nets, encoders
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    merger.apply([Stacked(file, 0.5)])
    merger.restore()


def test_plain_tuples_will_do(loras, base, merger, bare):
    file: LoraFile = read_lora(Path(loras["kohya-other-block"]))
    merger.apply([(file, 1.0, None, {})])
    assert apart(picture(base), bare) > SEEN / 10
