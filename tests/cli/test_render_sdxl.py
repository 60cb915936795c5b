"""``render --engine sdxl`` with small real models, through the whole line."""

import json

import numpy as np
import pytest
from exports.a1111_reader import as_a1111, as_civitai
from PIL import Image

PLACE = ("--around", "3.8925,54.5972", "--zoom", "15", "--size", "96x80")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def fast(small_style):
    return small_style(steps=2, cfg=1.0)


def test_a_picture_with_words_on_top(cli, town, fast, tmp_path):
    out = tmp_path / "map.png"
    said = cli("render", town, *PLACE, "--style", fast, "--engine", "sdxl", "-o", out)
    assert said.code == 0, said.err
    assert "engine sdxl (CPU, float32, one window at a time; standard: 1 of 2 steps" in said.err
    assert "evaluations (" in said.err
    bare = tmp_path / "bare.png"
    assert cli("render", town, *PLACE, "--style", fast, "--engine", "sdxl", "--no-labels", "-o", bare, "-q").code == 0
    changed = (pixels(out) != pixels(bare)).any(2)
    assert 0.01 < changed.mean() < 0.95  # words lie on top, and beneath them the ground is the model's own
    painter = tmp_path / "painter.png"
    assert (
        cli("render", town, *PLACE, "--style", fast, "--engine", "painter", "--no-labels", "-o", painter, "-q").code
        == 0
    )
    assert np.abs(pixels(painter) - pixels(bare)).mean() > 5


def test_two_pictures_agree_where_they_overlap_and_blocks_do_not_show(cli, town, fast, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    go = ("--style", fast, "--engine", "sdxl", "-q", "--zoom", "15", "--around", "3.8925,54.5972")
    assert cli("render", town, *go, "--size", "200x160", "-o", whole).code == 0
    # Another cache, so that nothing is owed to the first picture; painted in bands of 64 px.
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mapstyle.engines.diffusion.spec.BLOCK", 64)
    assert cli("render", town, *go, "--size", "120x100", "-o", part).code == 0
    assert np.array_equal(pixels(whole)[30:130, 40:160], pixels(part))


def test_what_is_kept_is_found_again(cli, town, fast, tmp_path, kept):
    go = ("render", town, *PLACE, "--style", fast, "--engine", "sdxl", "-q")
    assert cli(*go, "-o", tmp_path / "a.png").code == 0
    before = sorted((kept / "windows").glob("??/*"))
    assert before
    assert cli(*go, "-o", tmp_path / "b.png").code == 0
    assert sorted((kept / "windows").glob("??/*")) == before
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_reproduce_gives_the_same_pixels_and_explain_says_how(cli, town, fast, tmp_path, monkeypatch):
    out = tmp_path / "map.png"
    go = ("--style", fast, "--engine", "sdxl", "--set", "diffusion.prompt='ink, and water'", "--seed", "9")
    assert cli("render", town, *PLACE, *go, "-o", out, "-q").code == 0
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    said = cli("reproduce", out, town, "--style", fast)
    assert said.code == 0, said.err
    assert "not the one it was made on" not in said.err
    again = tmp_path / "map-again.png"
    assert np.array_equal(pixels(out), pixels(again))
    first, second = (json.loads(cli("explain", file, "--json").out) for file in (out, again))
    assert first | {"file": ""} == second | {"file": ""}
    text = cli("explain", out).out
    assert "ink, and water" in text
    assert "compositeWithTrainedAlgorithmicMedia" in text
    with Image.open(out) as image:
        parameters = image.text["parameters"]
    for read in (as_a1111(parameters), as_civitai(parameters)):  # readers of the published format, not of our code
        assert read.prompt == "ink, and water"
        assert {k: str(read.details[k]) for k in ("Steps", "Sampler", "Seed", "CFG scale", "Size")} == {
            "Steps": "2", "Sampler": "Euler", "Seed": "9", "CFG scale": "1", "Size": "96x80",
        }  # fmt: skip


def test_reproducing_with_other_settings_or_weights_is_refused(
    cli, town, fast, small_style, small_zoo, tmp_path, monkeypatch
):
    out = tmp_path / "map.png"
    assert cli("render", town, *PLACE, "--style", fast, "--engine", "sdxl", "-o", out, "-q").code == 0
    other = small_style(steps=2, cfg=1.0, strength=1.0)
    said = cli("reproduce", out, town, "--style", other, "-o", tmp_path / "again.png")
    assert said.code == 1
    assert "the style was changed since: diffusion.strength" in said.line
    other = small_style(steps=2, cfg=1.0, base=small_zoo.sdxl)
    said = cli("reproduce", out, town, "--style", other, "-o", tmp_path / "again.png")
    assert said.code == 1
    assert "other weights than these: sdxl" in said.line
    assert not (tmp_path / "again.png").exists()
    # Another machine is only said: here, one that counts with more threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    said = cli("reproduce", out, town, "--style", fast, "-o", tmp_path / "again.png")
    assert said.code == 0
    assert "not the one it was made on" in said.err


def test_a_run_that_is_stopped_keeps_what_is_finished(cli, town, fast, tmp_path, monkeypatch):
    from mapstyle.exports import picture as exports

    def fails(self, frame, rgb):
        raise KeyboardInterrupt

    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mapstyle.engines.diffusion.spec.BLOCK", 1)
    monkeypatch.setattr(exports.PngSink, "write", fails)
    big = ("--around", "3.8925,54.5972", "--zoom", "15", "--size", "900x80")
    said = cli("render", town, *big, "--style", fast, "--engine", "sdxl", "-o", tmp_path / "out.png", "-q")
    assert said.code != 0
    assert "Traceback" not in said.err
    kept = len(list((tmp_path / "cache" / "windows").glob("??/*")))
    # The field that was being painted when the first could not be written was given up, not painted to its end.
    assert 10 < kept < 170


def test_auto_takes_the_painter_without_a_cuda_device(cli, town, fast, tmp_path):
    said = cli("render", town, *PLACE, "--style", fast, "--dry-run", "-o", tmp_path / "x.png")
    assert "engine painter (no CUDA device" in said.err
    said = cli("render", town, *PLACE, "--dry-run", "-o", tmp_path / "x.png")
    assert "engine painter (it needs no GPU and no download;" in said.err


def refused(said, folder, *told):
    assert said.code == 1, said
    for words in told:
        assert words in said.line, said.line
    assert "Traceback" not in said.err
    assert not [f.name for f in folder.iterdir() if f.name.startswith((".mapstyle", "out"))]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["diffusion.base.source='who/model'"], ["who/model is not here", "mapstyle models pull", "/small --set 'diffusion.base.source='"]),
        (["diffusion.profile='lightning-4'"], ["sdxl_lightning_4step_lora.safetensors is not here", "--profile lightning-4"]),
        (["diffusion.profile='turbo-4'"], ["does not go with the profile turbo-4", "base of its own"]),
        (["diffusion.lattice.paint={window=16, stride=2, guard=0, ramp=14}"], ["longer than the stride"]),
        (["diffusion.strength=0.3"], ["rounds to nothing", "at least 0.5"]),
        (["diffusion.profile='lightnin-4'"], ["Did you mean 'lightning-4'"]),
        (["diffusion.profile='lightning-4'", "diffusion.cfg=6.0"], ["does not go with the profile lightning-4", "distilled"]),
        (["diffusion.controls=[{image='edges', net='other'}]"], ["names the net 'other'", "known: union"]),
        (["diffusion.controls=[{image='edges', net='union'}]"], ["needs a mode"]),
        (["diffusion.controls=[{image='edgy', net='union', mode='depth'}]"], ["edgy", "edges"]),
        (["diffusion.vae.sha256='" + "0" * 64 + "'"], ["SHA-256"]),
        (["diffusion.lattice.paint.stride=13"], ["must be the stride"]),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_in_one_line(cli, town, fast, tmp_path, changes, told):
    settings = [part for change in changes for part in ("--set", change)]
    if any("profile='" in c for c in changes):
        settings += ["--set", "diffusion.steps=4"]
    said = cli("render", town, *PLACE, "--style", fast, "--engine", "sdxl", *settings, "-o", tmp_path / "out.png")
    refused(said, tmp_path, *told)


def test_a_style_without_a_diffusion_section(cli, town, fast, tmp_path):
    import pathlib

    text = (pathlib.Path(fast) / "style.toml").read_text().partition("[diffusion]")[0]
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "style.toml").write_text(text)
    said = cli("render", town, *PLACE, "--style", tmp_path / "plain", "--engine", "sdxl", "-o", tmp_path / "out.png")
    refused(said, tmp_path, "no [diffusion] section")


def test_weights_that_were_never_pulled_name_the_line_that_brings_them(cli, town, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    said = cli("render", town, *PLACE, "--engine", "sdxl", "-o", tmp_path / "out.png")
    refused(said, tmp_path, "is not here; run: mapstyle models pull watercolour")


def test_imagery_leads_the_model_when_it_is_given(cli, town, fast, tmp_path):
    import rasterio
    from rasterio.transform import from_bounds

    control = "diffusion.controls=[{image='imagery', net='union', mode='tile'}]"
    go = ("render", town, *PLACE, "--style", fast, "--engine", "sdxl", "--set", control, "--no-labels")
    refused(cli(*go, "-o", tmp_path / "out.png"), tmp_path, "needs imagery", ".tif")
    seen = []
    for i in range(2):
        photo = tmp_path / f"photo{i}.tif"
        bands = np.random.default_rng(i).integers(0, 255, (3, 64, 64), np.uint8)
        where = from_bounds(3.88, 54.59, 3.905, 54.605, 64, 64)
        with rasterio.open(photo, "w", driver="GTiff", width=64, height=64, count=3, dtype="uint8", crs="EPSG:4326",
                           transform=where, photometric="RGB") as file:  # fmt: skip
            file.write(bands)
        said = cli(*go[:2], photo, *go[2:], "-o", tmp_path / f"map{i}.png")
        assert said.code == 0, said.err
        seen.append(pixels(tmp_path / f"map{i}.png"))
    assert np.abs(seen[0] - seen[1]).mean() > 1


@pytest.mark.parametrize(
    ("device", "told"), [("cuda:7", "CUDA devices"), ("tpu", "no such device"), ("mps", "Apple")]
)  # fmt: skip
def test_a_device_that_is_not_there(cli, town, fast, tmp_path, device, told):
    said = cli(
        "render", town, *PLACE, "--style", fast, "--engine", "sdxl", "--device", device, "-o", tmp_path / "out.png"
    )
    refused(said, tmp_path, told)


def test_broken_weights(cli, town, fast, small_zoo, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(small_zoo.single.read_bytes()[:-1000])
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"\x80\x04rubbish")
    for path, told in ((cut, "cut.safetensors"), (pickle, "model.ckpt"), (small_zoo.union, "")):
        source = f"diffusion.base.source='{path}'"
        said = cli(
            "render", town, *PLACE, "--style", fast, "--engine", "sdxl", "--set", source, "-o", tmp_path / "out.png"
        )
        refused(said, tmp_path, told)


def test_how_it_runs_goes_by_the_cards_memory():
    from mapstyle.engines.diffusion.fit import GIB, Machine, choose
    from mapstyle.engines.diffusion.profiles import resolve
    from mapstyle.engines.diffusion.settings import Diffusion
    from mapstyle.errors import EngineError

    plan = resolve(Diffusion(prompt="x"))

    def card(total, free):
        return choose(Machine("cuda:0", "card", free * GIB, total * GIB), plan, 1)

    assert [card(n, n).batch for n in (12, 14, 16, 80)] == [(1, 1), (2, 1), (2, 2), (2, 2)]
    assert card(24, 24).dtype == "float16"
    assert not card(24, 24).offload
    # Someone else uses the card today: the same bits, more slowly; only when that is not enough, smaller batches.
    assert card(24, 15.8).batch == (2, 2)
    assert card(24, 15.8).offload
    assert card(24, 15.8).identity == card(24, 24).identity
    assert card(24, 12).batch == (2, 1)
    assert choose(Machine("cuda:1", "card", 24 * GIB, 24 * GIB), plan, 1).identity == card(24, 24).identity
    assert choose(Machine("cuda:0", "card", 80 * GIB, 80 * GIB), plan, 1, batch=1).batch == (1, 1)
    with pytest.raises(EngineError, match=r"6.0 GB of free memory, and this style needs \d+\.\d: .*draft"):
        card(6, 6)
