"""How fast the painter makes tiles: everything included, one core.

    python benchmarks/painter.py SOURCE... [--zoom 16] [--styles a,b] [--blocks 4]

Prints, for each style, tiles of 256 px a second a core, CPU milliseconds a tile by stage (controls, painting,
labels, composing, encoding), and the peak of memory. Blocks lie in the middle of the dense part of the data;
one block is made first and not counted, so that fonts and textures are there.
"""

import argparse
import resource
import time
from collections import defaultdict

import cv2

from mapstyle import pipeline as line
from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.cli.opening import layers_for, open_data
from mapstyle.cli.talk import Talk
from mapstyle.exports import encode_tile
from mapstyle.frame import Frame, Grid
from mapstyle.job import HowLarge, Where, find_extent
from mapstyle.pipeline import BLOCK, Pipeline
from mapstyle.style import find_styles, load_style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--zoom", type=int, default=16)
    parser.add_argument("--styles", default=",".join(sorted(find_styles())))
    parser.add_argument("--blocks", type=int, default=4, help="blocks on a side")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    data = open_data(asked.sources, Talk(True, False))
    grid = Grid.web_mercator(asked.zoom)
    left, top, right, bottom = find_extent(Where(), HowLarge(), data).on(grid)
    side = asked.blocks
    column = round(((left + right) / 2 - side * BLOCK / 2) / BLOCK) * BLOCK
    row = round(((top + bottom) / 2 - side * BLOCK / 2) / BLOCK) * BLOCK
    whole = Frame(grid, column, row, side * BLOCK, side * BLOCK)
    layers = layers_for(data, whole)
    print(f"{'style':18}{'tiles/s/core':>13}{'ms/tile':>9}   controls  paint  labels  rest  encode   KB/tile  peak MB")
    for name in asked.styles.split(","):
        look = load_style(name)
        spec, _ = choose_engine(look, EngineChoice.PAINTER)
        pipeline = Pipeline(layers, look, spec)
        spent: dict[str, float] = defaultdict(float)
        pipeline.render(Frame(grid, column - BLOCK, row, BLOCK, BLOCK))
        _watch(pipeline, "scene", spent, "controls", inner="labels")
        _watch(pipeline, "labels", spent, "labels")
        _watch(pipeline._engine, "paint", spent, "paint")
        draw = line.draw_labels
        line.draw_labels = _timed(draw, spent, "labels")
        size, tiles, begun = 0, 0, time.process_time()
        for block in whole.pieces(BLOCK, BLOCK):
            image = pipeline.render(block).image
            start = time.process_time()
            for tile in block.pieces(256, 256):
                size += len(encode_tile(image.crop(tile).rgba[..., :3]))
                tiles += 1
            spent["encode"] += time.process_time() - start
        total = time.process_time() - begun
        line.draw_labels = draw
        spent["rest"] = total - sum(spent.values())
        per = {k: v / tiles * 1e3 for k, v in spent.items()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:18}{tiles / total:13.1f}{total / tiles * 1e3:9.1f}   {per['controls']:8.1f}{per['paint']:7.1f}"
            f"{per['labels']:8.1f}{per['rest']:6.1f}{per['encode']:8.1f}{size / tiles / 1024:10.1f}{peak:9.0f}"
        )


def _timed(function, spent, name, inner=None):
    def wrapper(*arguments, **more):
        within = spent[inner] if inner else 0.0
        start = time.process_time()
        done = function(*arguments, **more)
        took = time.process_time() - start
        spent[name] += took - ((spent[inner] - within) if inner else 0.0)
        return done

    return wrapper


def _watch(thing, method, spent, name, inner=None):
    setattr(thing, method, _timed(getattr(thing, method), spent, name, inner))


if __name__ == "__main__":
    main()
