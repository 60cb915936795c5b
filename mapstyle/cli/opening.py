"""From options to something that can be rendered: sources opened, frame settled, layers made ready."""

from collections.abc import Sequence
from dataclasses import dataclass

from mapstyle.cli.talk import Talk
from mapstyle.errors import ExtentError
from mapstyle.frame import Frame
from mapstyle.job import Data, HowLarge, Where, check_crs, plan_frame
from mapstyle.layers import Layers
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import cache_folder


@dataclass(frozen=True)
class Opened:
    """A job with its data at hand."""

    data: Data
    frame: Frame
    layers: Layers
    digest: str


def open_data(sources: Sequence[str], talk: Talk) -> Data:
    """Read the sources, or what was kept of them."""
    data = Data.open(sources, cache_folder(), talk.say)
    for note in data.atlas.notes:
        talk.say(f"note: {note}")
    return data


def open_job(sources: Sequence[str], where: Where, how: HowLarge, talk: Talk) -> Opened:
    """Read the sources, settle the frame, and make the layers ready for its grid."""
    check_crs(how.crs)
    data = open_data(sources, talk)
    frame = plan_frame(where, how, data)
    return Opened(data, frame, layers_for(data, frame), data.digest)


def layers_for(data: Data, frame: Frame) -> Layers:
    """Make the layers ready for a frame's grid, and refuse a frame that would be empty."""
    layers = LevelIndex.build(data.atlas, frame.grid.at_ratio(1), data.elevation, cache_folder(), data.imagery)
    if data.elevation is None and data.imagery is None:
        stack = layers.read(frame)
        if not (stack.areas or stack.lines or stack.points):
            w, s, e, n = data.bounds
            raise ExtentError(
                f"nothing of the data lies in this frame at level {frame.grid.level:g}; "
                f"the data lies within {w:.4f},{s:.4f},{e:.4f},{n:.4f} (W,S,E,N in degrees)"
            )
    return layers
