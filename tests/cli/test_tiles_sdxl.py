"""``tiles --engine sdxl`` with small real models: shrunk overviews, words on top, and the mark of a model."""

import json
import sqlite3

import numpy as np
import pytest
from PIL import Image

AREA = ("--extent", "3.8905,54.5960,3.8945,54.5984")


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def fast(small_style):
    return small_style(steps=2, cfg=1.0)


def test_a_pyramid_a_model_painted(cli, town, fast, tmp_path, monkeypatch):
    # Blocks of 1024 px would take minutes without a GPU.
    monkeypatch.setattr("mapstyle.engines.diffusion.spec.BLOCK", 64)
    monkeypatch.setattr("mapstyle.batch.plan.SIDE", 256)
    out, archive = tmp_path / "t", tmp_path / "t.mbtiles"
    go = ("tiles", town, *AREA, "--style", fast, "--engine", "sdxl", "--zoom", "14-15", "--workers", "1")
    said = cli(*go, "-o", out, "-o", archive)
    assert said.code == 0, said.err
    assert "1 of the levels shrunk" in said.err
    tiles = sorted(out.rglob("*.png"))
    assert {t.parent.parent.name for t in tiles} == {"14", "15"}
    (value,) = sqlite3.connect(archive).execute("SELECT value FROM metadata WHERE name = 'mapstyle'").fetchone()
    made = json.loads(value)
    assert made["engine"] == "sdxl"
    assert made["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert made["making"]["prompt"]
    assert made["making"]["exact"] is True
    one = next(t for t in tiles if "/15/" in str(t))
    picture = tmp_path / "one.png"
    place = str(one.relative_to(out)).removesuffix(".png")
    said = cli("render", town, "--tile", place, "--style", fast, "--engine", "sdxl", "--attribution", "none",
               "-q", "-o", picture)  # fmt: skip
    assert said.code == 0, said.err
    assert np.array_equal(pixels(picture), pixels(one))
    said = cli(*go, "-o", out, "-o", archive)
    assert "0 blocks painted, 0 found unchanged" in said.err
