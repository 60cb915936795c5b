"""``mapstyle explain`` tells people and programs how a picture was made."""

import json
from dataclasses import replace

import numpy as np
import pytest
from exports.makings import MAKING
from PIL import Image, PngImagePlugin

from mapstyle.exports import Sheet, open_sink
from mapstyle.exports.metadata import Provenance
from mapstyle.frame import Frame, Grid

FRAME = Frame(Grid.web_mercator(14), 2_133_000, 1_495_000, 61, 43)
PAINTED = Provenance(
    "A town", "© Me", "mapstyle 0", "ink", "d1", "painter", 7, "s1",
    {"labels": "burn", "language": "de", "edge_labels": "cut", "changes": "painter.x=1"},
)  # fmt: skip
MADE = replace(PAINTED, engine="sdxl", making=MAKING)
SUFFIXES = [".png", ".jpg", ".webp", ".tif"]


def write(path, provenance):
    with open_sink(path, Sheet(FRAME, provenance)) as sink:
        sink.write(FRAME, np.zeros((*FRAME.shape, 3), np.uint8))
    return path


def strip(path, target):
    """Save a PNG without its metadata."""
    Image.fromarray(np.asarray(Image.open(path))).save(target)
    return target


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_models_picture_is_explained(cli, tmp_path, suffix):
    said = cli("explain", write(tmp_path / f"map{suffix}", MADE))
    assert said.code == 0, said.err
    assert said.err == ""
    for told in (
        "A town", "61 x 43 px", "level 14", "s1", "© Me", "ink", "painter.x=1", "sdxl, seed 7", "language de",
        "yes: a model painted the ground (compositeWithTrainedAlgorithmicMedia)", MAKING.prompt, MAKING.negative,
        "Euler, SGM Uniform", "6 of 8 steps run, strength 0.75", "lora papercut +0.8", "lora too much detail -0.4",
        "AutoV3 0011223344ff", MAKING.weights[0].sha256, "licence openrail++", "CivitAI version 777",
        "image edges, net union, mode thin-line, scale 0.8", "threads 1", "exact      yes", "0123456789abcdef",
    ):  # fmt: skip
        assert told in said.out, told
    assert max(map(len, said.out.splitlines())) < 140


def test_a_painters_picture_is_explained(cli, tmp_path):
    said = cli("explain", write(tmp_path / "map.png", PAINTED))
    assert "AI-made    no" in said.out
    assert "prompt" not in said.out


def test_what_was_not_exact_says_so(cli, tmp_path):
    late = replace(MADE, making=replace(MAKING, exact=False))
    assert "exact      no: memory ran out" in cli("explain", write(tmp_path / "map.png", late)).out


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_programs_get_json(cli, tmp_path, suffix):
    for provenance in (MADE, PAINTED):
        name = f"{provenance.engine}{suffix}"
        said = cli("explain", write(tmp_path / name, provenance), "--json")
        told = json.loads(said.out)
        assert told["mapstyle"] == json.loads(provenance.as_json(FRAME))
        assert told["ai_made"] is (provenance is MADE)
        assert told["parameters"] == provenance.parameters(FRAME)


def test_another_programs_words_are_shown_as_what_they_are(cli, tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat \x1b[31m\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png", pnginfo=info)
    said = cli("explain", tmp_path / "cat.png")
    assert said.code == 0
    assert "another program" in said.out
    assert "Steps: 20, Sampler: Euler a" in said.out
    assert "\x1b" not in said.out, "a file cannot steer the terminal"
    assert json.loads(cli("explain", tmp_path / "cat.png", "--json").out)["mapstyle"] is None


def test_a_file_that_says_nothing_is_one_line(cli, tmp_path):
    said = cli("explain", strip(write(tmp_path / "map.png", MADE), tmp_path / "bare.png"))
    assert said.code == 1
    assert "bare.png: says nothing of how it was made" in said.line
    assert said.out == ""


def test_a_lone_mark_is_told(cli, tmp_path):
    packet = MADE.xmp()
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg", xmp=packet.encode())
    assert "marked as AI-made" in cli("explain", tmp_path / "x.jpg").line


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_broken_file_is_one_line(cli, tmp_path, suffix):
    path = write(tmp_path / f"map{suffix}", MADE)
    path.write_bytes(path.read_bytes()[:200])
    said = cli("explain", path)
    assert said.code == 1
    assert f"map{suffix}" in said.line
    assert said.err.count("\n") == 1
    assert json.loads(cli("explain", path, "--json").out)["event"] == "error"


def test_broken_words_are_one_line(cli, tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("mapstyle", '{"style": \n "ink"}')
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=info)
    for command in ("explain", "reproduce"):
        said = cli(command, tmp_path / "x.png")
        assert said.code == 1
        assert "its metadata is broken" in said.line


def test_a_long_text_is_cut_for_people_only(cli, tmp_path):
    long = replace(MADE, making=replace(MAKING, prompt="word " * 2000))
    path = write(tmp_path / "map.png", long)
    assert "(10000 letters)" in cli("explain", path).out
    assert len(json.loads(cli("explain", path, "--json").out)["mapstyle"]["making"]["prompt"]) == 10_000
