"""Weights are found without the network and are what they were, or one line says what is wrong and what mends it."""

import hashlib
import json
import socket
import zlib
from pathlib import Path

import pytest

from mapstyle.engines.diffusion import hub
from mapstyle.engines.diffusion.identify import identify
from mapstyle.engines.diffusion.profiles import PROFILES, resolve
from mapstyle.engines.diffusion.registry import (
    Added,
    ChangedWeightsError,
    Locked,
    LockedFile,
    MissingWeightsError,
    Registry,
    models_folder,
    needed,
)
from mapstyle.engines.diffusion.settings import Control, Diffusion, Lora, Net, Weights
from mapstyle.errors import EngineError

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "models"))

    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return Registry()


def weights(name: str) -> bytes:
    header = json.dumps({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + zlib.crc32(name.encode()).to_bytes(4, "little")


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(weights(name) if name.endswith(".safetensors") else b"{}")
    return folder


def lock(registry: Registry, source: str, *names: str, main: str = "", file: str = "", asked: str = "", commit=COMMIT):
    root = put(hub.snapshot(source, commit), *names)
    files = {
        n: LockedFile(sha256=hashlib.sha256((root / n).read_bytes()).hexdigest(), size=(root / n).stat().st_size)
        for n in names
    }
    registry.remember(
        Locked(source=source, file=file, asked=asked, revision=commit, licence="mit", main=main, files=files)
    )
    return root


def test_the_folder_is_the_users_or_the_environments(monkeypatch):
    monkeypatch.setenv("MAPSTYLE_MODELS", "~/somewhere")
    assert models_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("MAPSTYLE_MODELS")
    assert models_folder().name == "models"
    assert "mapstyle" in models_folder().parts


def test_a_path_is_absolute_or_begins_at_the_style(registry, tmp_path, monkeypatch):
    put(tmp_path / "style", "mine.safetensors", "own/thing.safetensors")
    found = registry.resolve(Weights(source=str(tmp_path / "style" / "mine.safetensors"), licence="mit"), "s")
    assert (found.name, found.revision, found.licence) == ("mine", "", "mit")
    assert found.sha256 == hashlib.sha256((tmp_path / "style" / "mine.safetensors").read_bytes()).hexdigest()
    assert found.autov2 == found.sha256[:10]
    assert len(found.autov3) == 12
    assert registry.resolve(Weights(source="mine.safetensors"), "s", tmp_path / "style") == found.__class__(
        **{**vars(found), "source": "mine.safetensors", "licence": ""}
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.resolve(Weights(source="~/style/mine.safetensors"), "s").path == found.path
    folder = registry.resolve(Weights(source="own", file="thing.safetensors"), "s", tmp_path / "style")
    assert folder.path == tmp_path / "style" / "own" / "thing.safetensors"
    assert registry.resolve(Weights(source="own"), "s", tmp_path / "style").path == folder.path, "the only file"

    monkeypatch.chdir(tmp_path / "style")
    assert registry.resolve(Weights(source="./mine.safetensors"), "s").sha256 == found.sha256
    with pytest.raises(MissingWeightsError, match="models add FILE --name own"):
        registry.resolve(Weights(source="own"), "s")  # a bare name never means a folder where we stand


def test_a_repository_is_found_at_the_locked_commit(registry):
    lock(registry, "who/net", "config.json", "diffusion_pytorch_model.safetensors")
    put(hub.snapshot("who/net", OTHER), "config.json", "diffusion_pytorch_model.safetensors")
    found = registry.resolve(Weights(source="who/net", licence="openrail++", civitai=7), "ink")
    assert found.path == hub.snapshot("who/net", COMMIT)
    assert (found.name, found.revision, found.licence, found.civitai) == ("net", COMMIT, "mit", 7)
    assert found.files == ("config.json", "diffusion_pytorch_model.safetensors")
    assert found.size == sum((found.path / f).stat().st_size for f in found.files)
    used = found.used("controlnet", 0.5)
    assert (used.role, used.weight, used.autov2, used.autov3) == ("controlnet", 0.5, "", "")

    at_style = registry.resolve(Weights(source="who/net", revision=OTHER), "ink")
    assert at_style.revision == OTHER, "a style that names another commit gets that one"
    assert at_style.sha256 == found.sha256, "and the same bytes have the same hash"
    with pytest.raises(MissingWeightsError, match=r"who/net is not here; run: mapstyle models pull ink$"):
        registry.resolve(Weights(source="who/net", revision="c" * 40), "ink")
    with pytest.raises(MissingWeightsError, match=r"who/net/x\.safetensors is not here"):
        registry.resolve(Weights(source="who/net", file="x.safetensors"), "ink")


def test_what_nobody_pulled_is_not_used_though_it_lies_there(registry):
    put(hub.snapshot("who/net", COMMIT), "config.json", "diffusion_pytorch_model.safetensors")
    with pytest.raises(MissingWeightsError, match="mapstyle models pull"):
        registry.resolve(Weights(source="who/net"), "ink")
    assert registry.resolve(Weights(source="who/net", revision=COMMIT), "ink").revision == COMMIT


def test_a_changed_file_is_refused(registry):
    root = lock(registry, "who/lora", "a.safetensors", main="a.safetensors", file="a.safetensors")
    ref = Weights(source="who/lora", file="a.safetensors")
    good = registry.resolve(ref, "ink")
    file = root / "a.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ChangedWeightsError) as told:
        registry.resolve(ref, "ink")
    now = hashlib.sha256(file.read_bytes()).hexdigest()
    for part in ("who/lora/a.safetensors", good.sha256[:12], now[:12], "models pull ink", "models check"):
        assert part in str(told.value)
    assert "\n" not in str(told.value)


def test_the_styles_own_hash_counts(registry, tmp_path):
    path = put(tmp_path, "a.safetensors") / "a.safetensors"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert registry.resolve(Weights(source=str(path), sha256=right), "ink").sha256 == right
    with pytest.raises(ChangedWeightsError, match=f"begins {right[:12]}, the style says 000000000000"):
        registry.resolve(Weights(source=str(path), sha256="0" * 64), "ink")


def test_a_file_is_missing_when_a_part_of_it_is(registry):
    root = lock(registry, "who/net", "config.json", "diffusion_pytorch_model.safetensors")
    (root / "config.json").unlink()
    with pytest.raises(MissingWeightsError):
        registry.resolve(Weights(source="who/net"), "ink")


def test_what_another_program_fetched_is_not_taken_for_what_was_locked(registry):
    root = lock(registry, "who/net", "config.json", "diffusion_pytorch_model.fp16.safetensors")
    assert registry.resolve(Weights(source="who/net"), "ink").revision == COMMIT
    put(root, "diffusion_pytorch_model.safetensors")  # the loader would take this one
    with pytest.raises(MissingWeightsError, match="mapstyle models pull ink"):
        registry.resolve(Weights(source="who/net"), "ink")


def test_an_added_name(registry, tmp_path):
    path = put(tmp_path, "mine.safetensors") / "mine.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    registry.add("my look", Added(path=path, kind="lora", sha256=digest, size=path.stat().st_size, licence="cc0"))
    found = registry.resolve(Weights(source="my look"), "ink")
    assert (found.path, found.name, found.licence) == (path, "my look", "cc0")
    with pytest.raises(
        MissingWeightsError, match=r"'my lok' is not here; run: mapstyle models add .*Did you mean 'my look'"
    ):
        registry.resolve(Weights(source="my lok"), "ink")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ChangedWeightsError, match="has changed since it was added as 'my look'"):
        registry.resolve(Weights(source="my look"), "ink")
    path.unlink()
    with pytest.raises(MissingWeightsError, match="is gone"):
        registry.resolve(Weights(source="my look"), "ink")


@pytest.mark.parametrize("name", ["lock.json", "added.json"])
@pytest.mark.parametrize(
    "junk", ["{", "[1, 2]", '{"version": 99}', '{"version": 1, "weights": {"x": 1}}', '{"weights": []}', "[" * 100_000]
)
def test_a_damaged_lock_is_said_in_one_line(registry, name, junk):
    registry.folder.mkdir()
    (registry.folder / name).write_text(junk)
    with pytest.raises(EngineError, match=name) as told:
        registry.locks() if name == "lock.json" else registry.added()
    assert "\n" not in str(told.value)
    assert ("pull again" if name == "lock.json" else "add the files again") in str(told.value)


def test_pickles_and_strangers_are_refused_by_name(registry, tmp_path):
    for name in ("a.ckpt", "b.bin", "c.PT"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(EngineError, match="pickle"):
            registry.resolve(Weights(source=str(tmp_path / name)), "ink")
    (tmp_path / "d.onnx").write_bytes(b"x")
    with pytest.raises(EngineError, match=r"no \.safetensors file"):
        registry.resolve(Weights(source=str(tmp_path / "d.onnx")), "ink")
    with pytest.raises(EngineError, match="pickle"):
        registry.resolve(Weights(source=str(put(tmp_path / "x", "a.safetensors")), file="../a.ckpt"), "ink")
    with pytest.raises(MissingWeightsError, match="no such file or folder"):
        registry.resolve(Weights(source="/nowhere/a.safetensors"), "ink")


BASE = [
    "README.md", "model_index.json", "sd_xl_base_1.0.safetensors", "sd_xl_offset_example-lora_1.0.safetensors",
    "scheduler/scheduler_config.json", "tokenizer/merges.txt", "tokenizer/vocab.json", "tokenizer_2/vocab.json",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/model.onnx", "unet/openvino_model.bin", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    "vae_1_0/config.json", "vae_1_0/diffusion_pytorch_model.fp16.safetensors", "vae_decoder/model.onnx",
    "text_encoder/config.json", "text_encoder/model.fp16.safetensors", "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin", "text_encoder_2/config.json", "text_encoder_2/model.safetensors",
    "text_encoder_2/model-00001-of-00002.safetensors", "text_encoder_2/model.safetensors.index.json",
]  # fmt: skip


def test_half_the_bytes_of_a_base_are_fetched():
    chosen = hub.choose("base", BASE)
    assert chosen.main == ""
    assert [f for f in chosen.files if f.endswith(".safetensors")] == [
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert {f for f in BASE if f.endswith((".json", ".txt"))} - set(chosen.files) == {
        "text_encoder_2/model.safetensors.index.json",
        "vae_1_0/config.json",
    }
    here = hub.choose("base", BASE, here={"unet/diffusion_pytorch_model.safetensors"})
    assert "unet/diffusion_pytorch_model.safetensors" in here.files, "what is here is not fetched again, smaller"
    assert "unet/diffusion_pytorch_model.fp16.safetensors" not in here.files


def test_of_shards_all_are_fetched():
    shards = [f"unet/diffusion_pytorch_model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.fp16.json"
    chosen = hub.choose(
        "base", ["model_index.json", *shards, index, "unet/diffusion_pytorch_model.safetensors.index.json"]
    )
    assert chosen.files == tuple(sorted(["model_index.json", *shards, index]))


def test_one_file_of_a_repository_comes_with_its_config():
    names = ["config.json", "config_promax.json", "diffusion_pytorch_model.safetensors", "x/config.json",
             "diffusion_pytorch_model_promax.safetensors"]  # fmt: skip
    whole = hub.choose("net", names)
    assert whole == hub.Choice("", ("config.json", "diffusion_pytorch_model.safetensors"))
    assert hub.choose("net", names, names[-1]) == hub.Choice(names[-1], (*names[:2], names[-1]))
    assert hub.choose("lora", ["README.md", "a.safetensors"]) == hub.Choice("a.safetensors", ("a.safetensors",))


@pytest.mark.parametrize(
    ("names", "file", "told"),
    [
        (["a.safetensors", "b.safetensors"], "", "say which, as in file = 'a.safetensors'"),
        (["a.bin"], "", r"no \.safetensors file"),
        (["model_index.json", "unet/diffusion_pytorch_model.bin"], "", r"no \.safetensors of the UNet"),
        (["a.safetensors"], "b.safetensors", "no file 'b.safetensors'"),
        (["../../etc/a.safetensors", "/etc/b.safetensors", ".x/c.safetensors"], "", r"no \.safetensors file"),
        (["../a.safetensors"], "../a.safetensors", "no file"),
        (["a.ckpt"], "a.ckpt", "pickle"),
    ],
)
def test_a_repository_without_what_is_needed(names, file, told):
    with pytest.raises(EngineError, match=told):
        hub.choose("who/what", names, file)


@pytest.mark.parametrize("source", ["who/what", "stabilityai/stable-diffusion-xl-base-1.0", "a_b/c.d"])
def test_names_of_repositories(source):
    assert hub.is_hub_id(source)


@pytest.mark.parametrize(
    "source", ["word", "./a/b", "~/a", "/a/b", "a/b/c", "a/b.safetensors", "../b", "a/..", "a/b.ckpt", "a/ b"]
)
def test_what_is_no_name_of_a_repository(source):
    assert not hub.is_hub_id(source)


@pytest.mark.parametrize(
    ("licence", "limited"),
    [
        ("sai-nc-community", True), ("cc-by-nc-4.0", True), ("cc-by-nc-sa-4.0", True), ("CC BY-NC-SA 4.0", True),
        ("fair-noncommercial-research-license", True), ("flux-1-dev-non-commercial-license", True),
        ("openrail++", False), ("mit", False), ("apache-2.0", False), ("creativeml-openrail-m", False), ("", False),
        ("cc-by-4.0", False), ("ncsa", False),
    ],
)  # fmt: skip
def test_licences_against_commerce(licence, limited):
    assert hub.is_non_commercial(licence) == limited


def test_the_cache_is_where_all_programs_look(monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub.cache_folder() == Path.home() / ".cache/huggingface/hub"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert hub.cache_folder() == Path("/x/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/h")
    assert hub.cache_folder() == Path("/h/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/c")
    assert hub.cache_folder() == Path("/c")


def test_what_a_style_needs_for_a_profile():
    settings = Diffusion(
        prompt="ink",
        loras=(Lora(source="who/ink"),),
        nets={"used": Net(source="who/net"), "idle": Net(source="who/idle")},
        controls=(
            Control(image="edges", net="used", mode="thin-line"),
            Control(image="depth", net="used", mode="depth"),
        ),
    )
    told = {
        name: [(role, ref.source) for role, ref in needed(chosen, resolve(chosen))]
        for name in PROFILES
        for chosen in [settings.model_copy(update={"profile": name})]
    }
    assert told["standard"] == [
        ("base", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("vae", "madebyollin/sdxl-vae-fp16-fix"),
        ("controlnet", "who/net"),
        ("lora", "who/ink"),
    ]
    assert told["turbo-4"][0] == ("base", "stabilityai/sdxl-turbo")
    assert told["lightning-4"][-2:] == [("lora", "ByteDance/SDXL-Lightning"), ("lora", "who/ink")]
    assert ("preview", "madebyollin/taesdxl") in told["draft"]
    bare = settings.model_copy(update={"vae": None})
    assert all(role != "vae" for role, _ in needed(bare, resolve(bare)))


def test_weights_are_told_apart(zoo, registry, tmp_path):
    told = {}
    for name in ("sdxl", "single", "controlnet", "union", "taesd", "vae"):
        place = registry.locate(Weights(source=str(getattr(zoo, name))), "")
        told[name] = identify(place.path, place.files).kind
    assert told == {
        "sdxl": "checkpoint", "single": "checkpoint", "controlnet": "controlnet", "union": "union controlnet",
        "taesd": "tiny vae", "vae": "vae",
    }  # fmt: skip
    for name in ("controlnet", "union", "taesd", "vae"):
        file = getattr(zoo, name) / "diffusion_pytorch_model.safetensors"
        assert identify(file).kind == told[name], "the file alone is known too"
    unet = zoo.sdxl / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(EngineError, match="a UNet alone"):
        identify(unet)
    whole = zoo.single.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-1])
    with pytest.raises(EngineError, match="cut short"):
        identify(tmp_path / "cut.safetensors")
