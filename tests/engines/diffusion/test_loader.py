"""Loading: every layout gives the same bits, and what is not SDXL is refused by name before it is read."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mapstyle.engines.diffusion import vocabulary
from mapstyle.engines.diffusion.architecture import PARTS, build, read_config, shapes_of
from mapstyle.engines.diffusion.loader import load_base, load_net, load_tiny_vae, load_vae, settle, vae_scale
from mapstyle.engines.diffusion.vocabulary import CONFIGS, number_words, read_merges, write_configs
from mapstyle.errors import EngineError

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET = f"unet/{WEIGHTS}"
LIT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def base(zoo):
    return load_base(zoo.sdxl, None, torch.float32)


@pytest.fixture
def folder(zoo, tmp_path) -> Path:
    """A copy of the quick base's folder, to break."""
    return shutil.copytree(zoo.quick, tmp_path / "sdxl")


def models(base) -> list:
    return [base.unet, base.vae, *base.text_encoders]


def same_bits(one, other) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def refusal(load, *arguments, **options) -> str:
    with pytest.raises(EngineError) as error:
        load(*arguments, **options)
    told = str(error.value)
    assert "\n" not in told
    assert len(told) < 600
    return told


def change(path: Path, change_tensors) -> Path:
    """Write a safetensors file anew with other tensors."""
    tensors = dict(load_file(path))
    change_tensors(tensors)
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def set_json(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# Every layout


def test_a_folder_is_loaded_as_diffusers_does(base, zoo):
    from diffusers import StableDiffusionXLPipeline

    stock = StableDiffusionXLPipeline.from_pretrained(zoo.sdxl, local_files_only=True, add_watermarker=False)
    theirs = [stock.unet, stock.vae, stock.text_encoder, stock.text_encoder_2]
    assert all(same_bits(one, other) for one, other in zip(models(base), theirs, strict=True))
    assert base.scheduler_config["beta_end"] == stock.scheduler.config.beta_end
    assert base.force_zeros
    assert vae_scale(base.vae) == 0.13025


def test_a_single_file_gives_the_same_bits_and_the_same_noise(base, zoo):
    single = load_base(zoo.single, zoo.config, torch.float32)
    assert all(same_bits(one, other) for one, other in zip(models(base), models(single), strict=True))
    # Equal weights are not enough: where they lie in memory changes the last bits of products.
    assert torch.equal(noise(base.unet), noise(single.unet))
    words = base.tokenizers[0]("map of a town", return_tensors="pt").input_ids
    for one, other in zip(base.text_encoders, single.text_encoders, strict=True):
        assert torch.equal(one(words)[0], other(words)[0])


def noise(unet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, words, pooled = (
        torch.randn(*shape, generator=generator) for shape in ((1, 4, 8, 8), (1, 77, 80), (1, 48))
    )
    sizes = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])
    return unet(latents, 500, words, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes}).sample


def test_the_published_layout_gives_the_same_bits(base, hub_layout):
    hub = load_base(hub_layout, None, torch.float32)
    assert all(same_bits(one, other) for one, other in zip(models(base), models(hub), strict=True))
    prompt = "map of a town!"
    for one, other in zip(base.tokenizers, hub.tokenizers, strict=True):
        assert one(prompt, padding="max_length", max_length=77) == other(prompt, padding="max_length", max_length=77)


def test_the_half_precision_variant_alone_is_enough(base, hub_layout_half):
    half = load_base(hub_layout_half, None, torch.float32)
    for one, other in zip(models(base), models(half), strict=True):
        rounded = {name: tensor.half().float() for name, tensor in one.state_dict().items()}
        assert all(torch.equal(tensor, rounded[name]) for name, tensor in other.state_dict().items())


def test_shards_give_the_same_bits(folder):
    whole = load_base(folder, None, torch.float32, vae=False)
    tensors = load_file(folder / UNET)
    names = sorted(tensors)
    places = {}
    for shard, part in enumerate((names[::2], names[1::2])):
        save_file(
            {name: tensors[name] for name in part}, folder / f"unet/{shard}.safetensors", metadata={"format": "pt"}
        )
        places |= dict.fromkeys(part, f"{shard}.safetensors")
    (folder / UNET).unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert same_bits(load_base(folder, None, torch.float32, vae=False).unet, whole.unet)
    (folder / "unet/1.safetensors").unlink()
    assert "1.safetensors: no such file" in refusal(load_base, folder, None, torch.float32)


def test_what_is_loaded_is_settled(base):
    for model in models(base):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert not any(tensor.is_meta for tensor in model.state_dict().values())
        assert all(tensor.data_ptr() % 64 == 0 and tensor.is_contiguous() for tensor in model.state_dict().values())


@pytest.mark.parametrize("single", [False, True])
def test_types_are_as_asked(zoo, single):
    path, config = (zoo.single, zoo.config) if single else (zoo.sdxl, None)
    base = load_base(path, config, torch.bfloat16, text_dtype=torch.float64, vae=False)
    assert base.unet.dtype == torch.bfloat16
    assert {encoder.dtype for encoder in base.text_encoders} == {torch.float64}
    assert base.vae is None


def test_a_checkpoint_without_vae_serves_where_none_is_wanted(zoo, tmp_path):
    path = shutil.copy(zoo.single, tmp_path / "xl.safetensors")
    change(path, lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("first_stage")])
    assert load_base(path, zoo.config, torch.float32, vae=False).vae is None
    assert "holds no VAE" in refusal(load_base, path, zoo.config, torch.float32)


# SDXL's own configs and CLIP's vocabulary


def test_clips_words_have_their_published_numbers(tmp_path):
    from transformers import CLIPTokenizer

    words = number_words(read_merges())
    assert len(words) == 49408
    folder = write_configs(tmp_path / "configs")
    first, second = (
        CLIPTokenizer.from_pretrained(folder / name, local_files_only=True) for name in ("tokenizer", "tokenizer_2")
    )
    assert first("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert first("cat", padding="max_length", max_length=5).input_ids == [49406, 2368, 49407, 49407, 49407]
    assert second("cat", padding="max_length", max_length=5).input_ids == [49406, 2368, 49407, 0, 0]
    assert first.model_max_length == second.model_max_length == 77


def test_without_the_vocabulary_its_package_is_named(zoo, monkeypatch):
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)
    assert "pip install open_clip_torch" in refusal(load_base, zoo.single, None, torch.float32)


def test_a_damaged_vocabulary_is_refused(tmp_path, monkeypatch):
    from importlib.machinery import ModuleSpec

    spec = ModuleSpec("open_clip", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: spec)
    for content in (b"", b"\x1f\x8b\x08", b"no gzip", __import__("gzip").compress(b"title\na b\n")):
        (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(content)
        assert "force-reinstall open_clip_torch" in refusal(read_merges)


def test_open_clip_is_not_imported():
    import subprocess
    import sys

    script = (
        "import sys; from mapstyle.engines.diffusion import vocabulary; vocabulary.read_merges(); "
        "assert not {'open_clip', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_our_configs_are_of_the_full_size_networks():
    # Numbers of parameters as published for SDXL base 1.0.
    for part, millions in (("unet", 2567.46), ("vae", 83.65), ("text_encoder", 123.06), ("text_encoder_2", 694.66)):
        model = build(PARTS[part][1], read_config(CONFIGS, part), part)
        assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


# Nets and VAEs


@pytest.mark.parametrize("kind", ["plain", "union"])
def test_nets_load_from_folders_and_lone_files(zoo, base, kind):
    folder = zoo.controlnet if kind == "plain" else zoo.union
    known = {**base.unet.config, "num_trans_head": 2}
    one = load_net(folder, kind, torch.float32, base_unet_config=known)
    other = load_net(folder / WEIGHTS, kind, torch.float32, base_unet_config=known)
    assert same_bits(one, other)
    told = {key: value for key, value in one.config.items() if not key.startswith("_")}
    guessed = {key: other.config[key] for key in told}
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(guessed))


@pytest.mark.parametrize("lone", [False, True])
def test_nets_of_the_other_kind_are_refused(zoo, base, lone):
    file = WEIGHTS if lone else ""
    known = dict(base.unet.config)
    told = refusal(load_net, zoo.union / file, "plain", torch.float32, base_unet_config=known)
    assert "this is a union net; set kind = 'union'" in told
    told = refusal(load_net, zoo.controlnet / file, "union", torch.float32, base_unet_config=known)
    assert "this is a plain net" in told


def test_the_number_of_modes_is_the_files(zoo, base, tmp_path):
    # Union folders have been published whose config is a plain net's, or of the older net with six modes.
    union = shutil.copytree(zoo.union, tmp_path / "union")
    set_json(union / "config.json", _class_name="ControlNetModel", num_control_type=6)
    net = load_net(union, "union", torch.float32, base_unet_config=base.unet.config)
    assert net.config.num_control_type == 8
    assert same_bits(net, load_net(zoo.union, "union", torch.float32, base_unet_config=base.unet.config))


def test_nets_for_other_bases_are_refused(zoo):
    for path in (zoo.controlnet, zoo.controlnet / WEIGHTS):
        assert "80 wide" in refusal(load_net, path, "plain", torch.float32)
    assert "is no ControlNet" in refusal(load_net, zoo.taesd, "plain", torch.float32)
    assert "is no ControlNet" in refusal(load_net, zoo.sdxl / UNET, "plain", torch.float32)


def test_nets_without_attention_are_understood(zoo, base, tmp_path):
    from diffusers import ControlNetModel
    from small.nets import HINT, UNET, control_config

    config = control_config(UNET, HINT, {"down_block_types": ("DownBlock2D",) * 3, "mid_block_type": "UNetMidBlock2D"})
    config["transformer_layers_per_block"] = 1
    small = ControlNetModel(**config)
    small.save_pretrained(tmp_path / "net")
    net = load_net(tmp_path / "net" / WEIGHTS, "plain", torch.float32, base_unet_config=base.unet.config)
    assert same_bits(net, small)


def test_a_damaged_net_is_refused_by_the_tensor(zoo, base, tmp_path):
    net = shutil.copytree(zoo.controlnet, tmp_path / "net")
    change(net / WEIGHTS, lambda tensors: tensors.pop("controlnet_down_blocks.2.bias"))
    for path in (net, net / WEIGHTS):
        told = refusal(load_net, path, "plain", torch.float32, base_unet_config=base.unet.config)
        assert "controlnet_down_blocks.2.bias" in told


def test_vaes_load_from_folders_and_lone_files(zoo, tmp_path):
    from small.sgm import vae_name

    vae = load_vae(zoo.vae, torch.float32)
    assert not same_bits(vae, load_base(zoo.sdxl, None, torch.float32).vae)
    assert same_bits(vae, load_vae(zoo.vae / WEIGHTS, torch.float32, config=zoo.config))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    early, original, prefixed = {}, {}, {}
    for name, tensor in vae.state_dict().items():
        module, leaf = name.rsplit(".", 1)
        early[next((name.replace(new, was) for new, was in old.items() if f".{new}." in name), name)] = tensor.clone()
        pointwise = "attentions" in name and tensor.ndim == 2
        original[f"{vae_name(module)}.{leaf}"] = tensor[:, :, None, None] if pointwise else tensor.clone()
        prefixed[f"first_stage_model.{vae_name(module)}.{leaf}"] = original[f"{vae_name(module)}.{leaf}"]
    assert early.keys() != vae.state_dict().keys()
    for number, tensors in enumerate((early, original, prefixed)):
        save_file(tensors, tmp_path / f"{number}.safetensors")
        lone = load_vae(tmp_path / f"{number}.safetensors", torch.float32, config=zoo.config)
        assert same_bits(vae, lone)
    early_folder = shutil.copytree(zoo.vae, tmp_path / "early")
    shutil.copy(tmp_path / "0.safetensors", early_folder / WEIGHTS)
    assert same_bits(vae, load_vae(early_folder, torch.float32))


def test_a_vae_that_overflows_in_fp16_is_not_loaded_so(zoo, folder):
    # The small VAE says what the fp16-fix says; SDXL's own says the opposite.
    fixed = load_vae(zoo.vae, torch.float16)
    assert fixed.dtype == torch.float16
    assert fixed.config.force_upcast is False
    set_json(folder / "vae/config.json", force_upcast=True)
    for vae in (load_vae(folder / "vae", torch.float16), load_base(folder, None, torch.float16).vae):
        assert vae.dtype == torch.float32
        assert vae.config.force_upcast is False
    # Nor is it rounded on the way.
    exact = load_vae(folder / "vae", torch.float32)
    assert any(not torch.equal(tensor, tensor.half().float()) for tensor in exact.state_dict().values())
    for path, config in ((zoo.single, folder), (folder / "vae" / WEIGHTS, folder)):
        assert same_bits(exact, load_vae(path, torch.float16, config=config))
    half = load_vae(folder / "vae", torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.config.force_upcast is True


def test_vaes_of_other_models_are_refused(folder):
    set_json(folder / "vae/config.json", scaling_factor=0.18215)
    assert "Stable Diffusion 1's VAE" in refusal(load_vae, folder / "vae", torch.float32)
    assert "Stable Diffusion 1's VAE" in refusal(load_base, folder, None, torch.float32)
    assert load_base(folder, None, torch.float32, vae=False).vae is None


def test_tiny_vaes_load_from_folders_and_lone_files(zoo):
    tiny = load_tiny_vae(zoo.taesd, torch.float32)
    assert same_bits(tiny, load_tiny_vae(zoo.taesd / WEIGHTS, torch.float32))
    assert "is no tiny VAE" in refusal(load_tiny_vae, zoo.vae / WEIGHTS, torch.float32)
    assert "AutoencoderTiny" in refusal(load_tiny_vae, zoo.vae, torch.float32)
    assert "AutoencoderKL" in refusal(load_vae, zoo.taesd, torch.float32)
    assert "is no VAE" in refusal(load_vae, zoo.taesd / WEIGHTS, torch.float32, config=zoo.config)


# What is refused


def test_a_place_that_cannot_be_written_to_is_named(zoo, tmp_path):
    assert str(tmp_path / "none") in refusal(load_base, zoo.single, None, torch.float32, cache=tmp_path / "none")


def test_missing_paths_are_named(zoo, tmp_path):
    assert "no such" in refusal(load_base, tmp_path / "none", None, torch.float32)
    assert "no such" in refusal(load_base, tmp_path / "none.safetensors", None, torch.float32)
    assert "no such folder of configs" in refusal(load_base, zoo.single, tmp_path / "none", torch.float32)
    assert "model_index.json" in refusal(load_base, tmp_path, None, torch.float32)
    assert "model_index.json" in refusal(load_base, zoo.single, tmp_path, torch.float32)
    assert "no such file" in refusal(load_net, tmp_path / "none.safetensors", "plain", torch.float32)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "text_encoder_2"])
def test_a_missing_tensor_is_named_in_folders(folder, part):
    file = next((folder / part).glob("*.safetensors"))
    name = sorted(load_file(file))[7]
    change(file, lambda tensors: tensors.pop(name))
    told = refusal(load_base, folder, None, torch.float32)
    assert f"{folder / part}: 1 of " in told
    assert name.removeprefix("text_model.") in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight", LIT),
        ("model.diffusion_model.label_emb.0.0.weight", "label_emb.0.0.weight"),
        ("first_stage_model.encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight"),
        (
            "conditioner.embedders.0.transformer.text_model.encoder.layers.1.mlp.fc1.bias",
            "encoder.layers.1.mlp.fc1.bias",
        ),
        ("conditioner.embedders.1.model.transformer.resblocks.4.attn.in_proj_weight", "encoder.layers.4.self_attn"),
        ("conditioner.embedders.1.model.ln_final.bias", "final_layer_norm.bias"),
        ("conditioner.embedders.1.model.text_projection", "text_projection"),
    ],
)
def test_a_missing_tensor_is_named_in_single_files(zoo, tmp_path, name, told):
    path = Path(shutil.copy(zoo.single, tmp_path / "xl.safetensors"))
    change(path, lambda tensors: tensors.pop(name))
    assert told in refusal(load_base, path, zoo.config, torch.float32)


def test_a_wrong_width_is_named(zoo, folder, tmp_path):
    def narrow(tensors):
        for name in list(tensors):
            if "attn2.to_k" in name or "attn2.to_v" in name:
                tensors[name] = tensors[name][:, :24]

    change(folder / UNET, narrow)
    told = refusal(load_base, folder, None, torch.float32)
    assert "attn2.to_k.weight" in told
    assert "x24 instead of" in told
    path = change(Path(shutil.copy(zoo.single, tmp_path / "xl.safetensors")), narrow)
    assert "x24 instead of" in refusal(load_base, path, zoo.config, torch.float32)


def test_tensors_that_nothing_takes_are_refused(folder):
    change(folder / UNET, lambda tensors: tensors.update({f"{LIT[:-7]}.lora_A.weight": torch.zeros(4, 80)}))
    assert "lora_A" in refusal(load_base, folder, None, torch.float32)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(folder, value):
    def spoil(tensors):
        tensors[LIT][0, 0] = value

    change(folder / UNET, spoil)
    assert f"{LIT} holds values that are not finite" in refusal(load_base, folder, None, torch.bfloat16)


def test_parameters_without_value_are_refused():
    with torch.device("meta"):
        model = torch.nn.Linear(2, 2)
    assert "weight got no value" in refusal(settle, model, torch.float32, "cpu", "x")


def test_truncated_and_garbage_files_are_refused(zoo, folder, tmp_path):
    content = zoo.single.read_bytes()
    path = tmp_path / "xl.safetensors"
    path.write_bytes(content[: len(content) // 2])
    assert "cut short" in refusal(load_base, path, zoo.config, torch.float32)
    path.write_bytes(b"garbage " * 1000)
    assert "not a .safetensors file" in refusal(load_base, path, zoo.config, torch.float32)
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-3])
    assert "cut short" in refusal(load_base, folder, None, torch.float32)


def test_pickles_are_refused(zoo, folder, tmp_path):
    for name in ("xl.ckpt", "xl.bin", "xl.pt"):
        shutil.copy(zoo.single, tmp_path / name)
        assert "pickle" in refusal(load_base, tmp_path / name, zoo.config, torch.float32)
        assert "pickle" in refusal(load_net, tmp_path / name, "plain", torch.float32)
    # diffusers would read this one without asking.
    torch.save(load_file(folder / UNET), folder / "unet/diffusion_pytorch_model.bin")
    (folder / UNET).unlink()
    assert "only the pickle file" in refusal(load_base, folder, None, torch.float32)


def test_quantised_weights_are_refused(zoo, folder, tmp_path):
    def squeeze(tensors):
        for name in list(tensors):
            if name == LIT or name.startswith("model.diffusion_model.input_blocks.4."):
                tensors[name] = tensors[name].to(torch.float8_e4m3fn)

    change(folder / UNET, squeeze)
    assert "quantised" in refusal(load_base, folder, None, torch.float32)
    path = change(Path(shutil.copy(zoo.single, tmp_path / "xl.safetensors")), squeeze)
    assert "quantised" in refusal(load_base, path, zoo.config, torch.float32)


SD1 = {"_class_name": "StableDiffusionPipeline", "text_encoder_2": None}
REFINER = {"requires_aesthetics_score": True, "text_encoder": [None, None], "tokenizer": [None, None]}


@pytest.mark.parametrize(
    ("file", "values", "told"),
    [
        ("model_index.json", SD1, "is Stable Diffusion 1 or 2"),
        ("model_index.json", {"_class_name": "FluxPipeline"}, "is Flux"),
        ("model_index.json", {"_class_name": "MyPipeline"}, "its pipeline is a MyPipeline"),
        ("model_index.json", REFINER, "SDXL's refiner"),
        ("model_index.json", {"unet": ["os", "system"]}, "unet is ['os', 'system']"),
        ("model_index.json", {"unet": "mine"}, "unet is mine"),
        ("unet/config.json", {"_class_name": "ControlNetModel"}, "is of a ControlNetModel"),
        ("unet/config.json", {"in_channels": 9}, "takes 9 channels"),
        ("unet/config.json", {"time_cond_proj_dim": 256}, "whole LCM model"),
        ("unet/config.json", {"cross_attention_dim": 768}, "768 wide"),
        ("unet/config.json", {"quantization_config": {"load_in_4bit": True}}, "quantization_config"),
        ("unet/config.json", {"layers_per_block": 10**9}, "layers_per_block"),
        ("unet/config.json", {"down_block_types": ["Mine"] * 3}, "cannot be loaded"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "T5EncoderModel"),
        ("text_encoder/config.json", {"_attn_implementation": "someone/kernel"}, "_attn_implementation"),
        ("vae/config.json", {"latent_channels": 16}, "another model"),
        ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, "predicts 'v_prediction'"),
        ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"}, "another noise schedule"),
    ],
)
def test_folders_of_other_models_are_refused(folder, file, values, told):
    set_json(folder / file, **values)
    assert told in refusal(load_base, folder, None, torch.float32)


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/model.safetensors",
        "tokenizer_2/tokenizer.json",
    ],
)
def test_incomplete_folders_are_refused(folder, file):
    (folder / file).unlink()
    assert str((folder / file).parent) in refusal(load_base, folder, None, torch.float32)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1, "a": 2}', "[" * 100_000])
def test_broken_configs_are_refused(folder, content):
    (folder / "unet/config.json").write_text(content)
    assert "not a JSON object" in refusal(load_base, folder, None, torch.float32)


def test_a_tokenizer_of_another_model_is_refused(folder, tmp_path):
    write_configs(tmp_path / "full")
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(tmp_path / "full/tokenizer", folder / "tokenizer")
    assert "knows 49408 words, its text encoder 519" in refusal(load_base, folder, None, torch.float32)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ["cond_stage_model.transformer.text_model.x", "model.diffusion_model.input_blocks.0.0.weight"],
            "Stable Diffusion 1",
        ),
        (
            ["cond_stage_model.model.ln_final.bias", "model.diffusion_model.input_blocks.0.0.weight"],
            "Stable Diffusion 2",
        ),
        (["model.diffusion_model.joint_blocks.0.x"], "Stable Diffusion 3"),
        (["model.diffusion_model.double_blocks.0.x"], "Flux"),
        (["double_blocks.0.x"], "Flux"),
        (["conditioner.embedders.0.model.ln_final.bias", "model.diffusion_model.input_blocks.0.0.weight"], "refiner"),
        (["lora_unet_mid_block.lora_down.weight"], "a LoRA"),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.x"], "a ControlNet"),
        (["down_blocks.0.x"], "a UNet alone"),
        (["encoder.conv_in.weight"], "a VAE alone"),
        (["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.x"], "holds no first text encoder"),
        (["anything"], "holds no UNet"),
    ],
)
def test_single_files_of_other_models_are_refused(tmp_path, names, told):
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "x.safetensors")
    assert told in refusal(load_base, tmp_path / "x.safetensors", None, torch.float32)


@pytest.mark.parametrize("name", ["v_pred", "edm_mean"])
def test_checkpoints_that_predict_something_else_are_refused(zoo, tmp_path, name):
    path = Path(shutil.copy(zoo.single, tmp_path / "xl.safetensors"))
    change(path, lambda tensors: tensors.update({name: torch.zeros(1)}))
    assert f"'{name}' marks" in refusal(load_base, path, zoo.config, torch.float32)


def test_leftovers_of_training_do_not_matter(zoo, base, tmp_path):
    path = Path(shutil.copy(zoo.single, tmp_path / "xl.safetensors"))
    positions = "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"
    names = ("model_ema.decay", "denoiser.sigmas", positions)
    change(path, lambda tensors: tensors.update({name: torch.zeros(1, 77, dtype=torch.int64) for name in names}))
    loaded = load_base(path, zoo.config, torch.float32)
    assert all(same_bits(one, other) for one, other in zip(models(base), models(loaded), strict=True))


def test_small_weights_do_not_fit_sdxls_own_configs(zoo):
    told = refusal(load_base, zoo.single, None, torch.float32)
    assert "(unet)" in told
    assert "another architecture" in told


def test_nothing_stays_behind(zoo):
    """Loading leaves the libraries as loud as they were."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers_logging, transformers_logging)]
    load_tiny_vae(zoo.taesd, torch.float32)
    assert before == [
        (log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers_logging, transformers_logging)
    ]


@pytest.mark.long
def test_a_full_size_checkpoint_loads_with_our_own_configs(tmp_path):
    """A sparse file of zeros with SDXL's 2514 tensors: 6.9 GB to look at, half a megabyte on the disk."""
    from small.sgm import checkpoint

    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    full = [build(PARTS[part][1], read_config(CONFIGS, part), part) for part in parts]
    with torch.device("meta"):
        tensors = checkpoint(*full)
    table, end = {}, 0
    for name, tensor in tensors.items():
        table[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [end, end + 2 * tensor.numel()]}
        end += 2 * tensor.numel()
    assert len(table) == 2514
    text = json.dumps(table).encode()
    path = tmp_path / "xl.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    base = load_base(path, None, torch.float16)
    for model, empty in zip(models(base), full, strict=True):
        assert shapes_of(model) == shapes_of(empty)
        assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert base.unet.dtype == torch.float16
    assert base.vae.dtype == torch.float32
    assert base.tokenizers[0]("a photo of a cat").input_ids[1:-1] == [320, 1125, 539, 320, 2368]
