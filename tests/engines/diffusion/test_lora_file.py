"""What is read of a LoRA file, and every reason to refuse one."""

import json

import pytest
from small import loras as made

from mapstyle.engines.diffusion.lora_file import read_lora
from mapstyle.engines.diffusion.lora_names import block_of, parse_key, text_names, unet_names
from mapstyle.errors import EngineError

LAYER = "lora_unet_middle_block_1_proj_in"


def write(folder, parts, header=None, layer=LAYER):
    return made.save(
        folder / "x.safetensors", {f"{layer}.{part}": value for part, value in parts.items()}, header or {}
    )


def ones(*shape):
    import torch

    return torch.ones(shape)


def pair(rank=4, out=32, width=32):
    return {"lora_down.weight": ones(rank, width), "lora_up.weight": ones(out, rank)}


def refusal(path):
    with pytest.raises(EngineError) as told:
        read_lora(path)
    text = str(told.value)
    assert path.name in text
    assert "\n" not in text
    return text


def test_metadata_is_read(loras):
    file = read_lora(loras["kohya-block"])
    assert (file.title, file.trigger, file.licence) == ("kohya-block", made.TRIGGER, "openrail++")
    assert file.nets == {"unet"}
    assert file.context == 80
    assert read_lora(loras["kohya-full"]).nets == {"unet", "text_encoder", "text_encoder_2"}
    text = read_lora(loras["kohya-text"])
    assert text.nets == {"text_encoder", "text_encoder_2"}
    assert text.context is None
    bare = read_lora(loras["kohya-no-header"])
    assert (bare.title, bare.trigger, bare.licence) == ("kohya-no-header", "", "")


def test_strangers_text_becomes_one_printable_line(tmp_path):
    header = {"modelspec.trigger_phrase": "a\ncut\x1b[31m  map\u202e", "ss_output_name": "old\tname"}
    file = read_lora(write(tmp_path, pair(), header))
    assert file.trigger == "a cut [31m map"
    assert file.title == "old name"


@pytest.mark.parametrize("alpha", [1.0, 3, -2.0, None])
def test_scale_is_alpha_over_rank(alpha, tmp_path):
    import torch

    parts = pair() if alpha is None else {**pair(), "alpha": torch.tensor(alpha)}
    assert read_lora(write(tmp_path, parts)).layers[0].scale == (1.0 if alpha is None else alpha / 4)


def test_whole_factors_have_no_rank(tmp_path):
    import torch

    whole = {"lokr_w1": ones(4, 4), "lokr_w2": ones(8, 8), "alpha": torch.tensor(7.0)}
    assert read_lora(write(tmp_path, whole)).layers[0].scale == 1.0
    split = {"lokr_w1": ones(4, 4), "lokr_w2_a": ones(8, 2), "lokr_w2_b": ones(2, 8), "alpha": torch.tensor(7.0)}
    assert read_lora(write(tmp_path, split)).layers[0].scale == 3.5


@pytest.mark.parametrize(
    "base",
    ["sdxl_base_v1-0", "sdxl_1.0", "SDXL", "stable-diffusion-xl-v1-base/lora", "Pony", "illustrious-xl", "", "None"],
)
@pytest.mark.parametrize("key", ["ss_base_model_version", "modelspec.architecture"])
def test_bases_that_are_sdxl_or_unsaid(key, base, tmp_path):
    assert read_lora(write(tmp_path, pair(), {key: base})).layers


@pytest.mark.parametrize(
    "base",
    [
        "sd_v1",
        "sd_v2",
        "sd3m",
        "flux1",
        "stable-diffusion-v1/lora",
        "stable-diffusion-v3-medium/lora",
        "kolors",
        "sdxl_refiner_v1-0",
        "stable-diffusion-xl-v1-refiner",
        "flux-1-dev/lora",
        "wan2.1",
        "x" * 500,
        "a\nb",
    ],
)
@pytest.mark.parametrize("key", ["ss_base_model_version", "modelspec.architecture"])
def test_other_bases(key, base, tmp_path):
    text = refusal(write(tmp_path, pair(), {key: base}))
    assert key in text
    assert len(text) < len(str(tmp_path)) + 200
    assert "SDXL" in text


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"lora_down.weight": (4, 32)}, "has down of a LoRA and the rest is missing"),
        ({"lora_up.weight": (32, 4)}, "has up of a LoRA and the rest is missing"),
        ({"alpha": ()}, "has no factor of a LoRA"),
        ({"lora_down.weight": (4, 32), "lora_up.weight": (32, 3)}, "do not go together"),
        ({"lora_down.weight": (4, 32), "lora_up.weight": (32, 4), "alpha": (2,)}, "do not go together"),
        ({"lora_down.weight": (0, 32), "lora_up.weight": (32, 0)}, "do not go together"),
        ({"lora_down.weight": (4,), "lora_up.weight": (32, 4)}, "do not go together"),
        ({"lora_down.weight": (4, 32), "lora_up.weight": (32, 4, 3, 3)}, "do not go together"),
        ({"lora_down.weight": (4, 32), "lora_up.weight": (32, 4), "lora_mid.weight": (4, 4)}, "do not go together"),
        ({"lora_down.weight": (4, 32), "lora_A.weight": (4, 32), "lora_up.weight": (32, 4)}, "says two things"),
        ({"lora_down.weight": (4, 32), "lora_up.weight": (32, 4), "hada_w1_a": (32, 4)}, "says two things"),
        ({"hada_w1_a": (32, 4), "hada_w1_b": (4, 32), "hada_w2_a": (32, 4)}, "of a LoHa and the rest is missing"),
        (
            {"hada_w1_a": (32, 4), "hada_w1_b": (4, 32), "hada_w2_a": (32, 4), "hada_w2_b": (4, 30)},
            "do not go together",
        ),
        ({"lokr_w1": (4, 4)}, "of a LoKr and the rest is missing"),
        ({"lokr_w1": (4, 4), "lokr_w1_a": (4, 2), "lokr_w1_b": (2, 4), "lokr_w2": (8, 8)}, "the rest is missing"),
        ({"lokr_w1": (4,), "lokr_w2": (8, 8)}, "do not go together"),
        ({"lokr_w1": (4, 4), "lokr_w2_a": (8, 2), "lokr_w2_b": (3, 8)}, "do not go together"),
    ],
)
def test_factors_that_make_no_layer(parts, reason, tmp_path):
    tensors = {part: ones(*shape) for part, shape in parts.items()}
    assert reason in refusal(write(tmp_path, tensors))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"a1.weight": (4, 32)}, "GLoRA"),
        ({"oft_blocks": (4, 8, 8)}, "OFT"),
        ({"oft_diag": (8,)}, "OFT"),
        ({"weight": (32,), "on_input": ()}, "IA3"),
        ({**{"lora_down.weight": (4, 32), "lora_up.weight": (32, 4)}, "lora_up.bias": (32,)}, "a LoRA with biases"),
        ({"diff": (32, 32)}, "whole differences of weights"),
        ({"w_norm": (32,)}, "a LoRA with differences of norms"),
        ({"lora_embedding_A": (4, 9)}, "a LoRA on word embeddings"),
    ],
)
def test_kinds_that_cannot_be_used(parts, kind, tmp_path):
    text = refusal(write(tmp_path, {part: ones(*shape) for part, shape in parts.items()}))
    assert f"is {kind} ('{LAYER}." in text
    assert "take a LoRA, LoCon, LoHa, LoKr or DoRA" in text


def test_nothing_to_change(tmp_path):
    import torch

    zero = {"lora_down.weight": ones(4, 32), "lora_up.weight": torch.zeros(32, 4)}
    assert "changes nothing" in refusal(write(tmp_path, zero))
    assert "changes nothing" in refusal(write(tmp_path, {**pair(), "alpha": torch.tensor(0.0)}))
    # One dead layer beside a living one is how some are trained.
    tensors = {f"{LAYER}.{part}": value for part, value in pair().items()}
    tensors |= {f"lora_unet_middle_block_1_proj_out.{part}": value for part, value in zero.items()}
    assert len(read_lora(made.save(tmp_path / "two.safetensors", tensors, {})).layers) == 2


@pytest.mark.parametrize(
    "said",
    [
        "not json",
        "[]",
        "3",
        '{"unet.r": 4}',
        '{"unet.lora_alpha": "x", "unet.r": 4}',
        '{"unet.lora_alpha": NaN, "unet.r": 4}',
        '{"unet.lora_alpha": 4, "unet.r": 4, "unet.alpha_pattern": [1]}',
        "[" * 100_000,
    ],
)
def test_headers_of_diffusers_that_lie(said, tmp_path):
    path = write(
        tmp_path,
        {"lora_A.weight": ones(4, 32), "lora_B.weight": ones(32, 4)},
        {"lora_adapter_metadata": said},
        "unet.a",
    )
    assert "is not what diffusers writes" in refusal(path)


def test_trained_on_a_changed_base(tmp_path):
    said = {"unet.r": 4, "unet.lora_alpha": 4, "unet.init_lora_weights": "pissa_niter_4"}
    parts = {"lora_A.weight": ones(4, 32), "lora_B.weight": ones(32, 4)}
    assert "on a base changed by 'pissa_niter_4'" in refusal(
        write(tmp_path, parts, {"lora_adapter_metadata": json.dumps(said)}, "unet.a")
    )
    said["unet.init_lora_weights"] = "gaussian"
    assert read_lora(write(tmp_path, parts, {"lora_adapter_metadata": json.dumps(said)}, "unet.a")).layers


def test_missing_files_and_folders(tmp_path):
    assert "no such file" in refusal(tmp_path / "x.safetensors")
    (tmp_path / "folder").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder")


def test_hostile_names_stay_short(tmp_path):
    path = made.save(tmp_path / "x.safetensors", {"evil\n\x1b[2J" + "z" * 5000: ones(2)}, {})
    text = refusal(path)
    assert len(text) < len(str(path)) + 250
    assert "\x1b" not in text


# ---------------------------------------------------------------- names


def test_every_layer_of_the_unet_has_its_name_in_the_original_layout():
    """The small package derives these names by another rule; both have to agree on all 794."""
    import torch
    from diffusers import UNet2DConditionModel
    from small import nets
    from small.sgm import unet_name

    with torch.device("meta"):
        net = UNet2DConditionModel(**nets.UNET)
    modules = [name for name, part in net.named_modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))]
    names = unet_names(modules)
    assert len(modules) == 794
    assert all(names[unet_name(name).replace(".", "_")] == name for name in modules)
    assert all(names[name] == names[name.replace(".", "_")] == name for name in modules)
    assert len(names) == len({*modules} | {n.replace(".", "_") for n in modules}) + len(modules)
    blocks = {block_of(name) for name in modules}
    assert {"down.1.0", "down.2.1", "mid", "up.0.0", "up.0.1", "up.0.2", "up.1.2", "down.0", "outer"} <= blocks


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_encoders_with_and_without_the_level_transformers_dropped(prefix):
    modules = [f"{prefix}encoder.layers.3.self_attn.q_proj", "text_projection"]
    names = text_names(modules)
    assert names["text_model_encoder_layers_3_self_attn_q_proj"] == modules[0]
    assert names["text_model.encoder.layers.3.self_attn.q_proj"] == modules[0]
    assert names["text_projection"] == "text_projection"


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("lora_unet_conv_in.lora_down.weight", ("unet", "conv_in", "lora", "down")),
        ("lora_te1_a_b.alpha", ("text_encoder", "a_b", "", "alpha")),
        ("lora_te2_a.dora_scale", ("text_encoder_2", "a", "", "dora")),
        ("unet.a.to_out.0.lora_B.weight", ("unet", "a.to_out.0", "lora", "up")),
        ("unet.a.attn1.processor.to_out_lora.up.weight", ("unet", "a.attn1.to_out.0", "lora", "up")),
        ("text_encoder.a.to_out_lora.down.weight", ("text_encoder", "a.out_proj", "lora", "down")),
        ("text_encoder_2.a.q_proj.lora_linear_layer.up.weight", ("text_encoder_2", "a.q_proj", "lora", "up")),
        ("unet.a.lokr_w2_b", ("unet", "a", "lokr", "w2_b")),
        ("unet.a.lora_magnitude_vector", ("unet", "a", "", "magnitude")),
    ],
)
def test_keys(key, meaning):
    found = parse_key(key)
    assert (found.net, found.module, found.kind, found.part) == meaning


@pytest.mark.parametrize(
    "key",
    [
        "",
        "unet.",
        "unet.alpha",
        "lora_unet_.alpha",
        "lora_unet_a",
        "lora_unet_a.b",
        "a.lora_down.weight",
        "lora_te_a.alpha",
        "base_model.model.a.lora_A.weight",
        "unet.a.lora_A",
        "lora_unet_a.lora_down.weight.x",
    ],
)
def test_keys_that_mean_nothing(key):
    assert parse_key(key) is None
