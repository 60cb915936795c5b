"""The sample town looks as it looked; tests/golden/README.md says how the pictures were made."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.frame import Frame, Grid
from mapstyle.pipeline import Pipeline
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import open_atlas
from mapstyle.style import find_styles, load_style, packaged

FOLDER = Path(__file__).resolve().parent / "golden"
SPOTS = {13: (3.8960, 54.6000), 15: (3.8900, 54.5960), 17: (3.8935, 54.5968)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    cache = tmp_path_factory.mktemp("golden")
    folder = packaged("sample_data")
    atlas = open_atlas([str(folder / s) for s in json.loads((folder / "views.json").read_text())["sources"]], cache)
    return atlas, Elevation.open(atlas.elevation, cache)


@pytest.mark.parametrize("level", SPOTS)
@pytest.mark.parametrize("style", sorted(find_styles()))
def test_the_town_looks_as_it_looked(style, level, data, request):
    atlas, elevation = data
    grid = Grid.web_mercator(level)
    look = load_style(style)
    spec, _ = choose_engine(look, EngineChoice.PAINTER)
    x, y = grid.project(np.array([SPOTS[level]]))[0]
    frame = Frame(grid, int(x) - 160, int(y) - 140, 320, 280)
    image = Pipeline(LevelIndex.build(atlas, grid, elevation, None), look, spec).render(frame).image
    seen = image.rgba[..., :3]
    golden = FOLDER / f"{style}-{level}.png"
    if request.config.getoption("--update-golden"):
        Image.fromarray(seen).save(golden, optimize=True)
        return
    known = np.asarray(Image.open(golden).convert("RGB"))
    off = np.abs(seen.astype(int) - known).max(axis=2)
    good = np.abs(seen.astype(int) - known).mean() < 1.0 and (off > 24).mean() < 0.001
    if not good:
        (FOLDER / "seen").mkdir(exist_ok=True)
        Image.fromarray(seen).save(FOLDER / "seen" / golden.name)
    assert good, f"see {FOLDER / 'seen' / golden.name}"
