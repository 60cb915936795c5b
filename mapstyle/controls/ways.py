"""Roads and railways near a cell, in the order in which they are drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Plot
from mapstyle.layers import ROADS, LayerKind, VectorLayer, spans

RAIL, TRAM = len(ROADS), len(ROADS) + 1
"""What :attr:`Ways.rank` holds for railways and trams."""
_KINDS = (*ROADS, LayerKind.RAIL, LayerKind.TRAM)


@dataclass(frozen=True)
class Ways:
    """Roads, railways and trams as ragged arrays, lowest storey first, then least first, ties by id.

    Attributes:
        coords: float64[n, 2], logical pixels.
        rings: int64[r + 1], where each line starts in ``coords``.
        features: int64[f + 1], where each way starts in ``rings``.
        along: float64[r], logical pixels of the whole line before each line.
        rank: int64[f], index in ROADS, or :data:`RAIL`, or :data:`TRAM`.
        storey: int64[f], 0 on the ground, below in tunnels, above on bridges.
        width: float64[f], logical pixels.
    """

    coords: NDArray[np.float64]
    rings: NDArray[np.int64]
    features: NDArray[np.int64]
    along: NDArray[np.float64]
    rank: NDArray[np.int64]
    storey: NDArray[np.int64]
    width: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rank)

    def pick(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Ways":
        """Give the chosen ways, in the order given."""
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        counts = self.features[chosen + 1] - self.features[chosen]
        ring = spans(self.features[chosen], counts)
        sizes = self.rings[ring + 1] - self.rings[ring]
        return Ways(
            self.coords[spans(self.rings[ring], sizes)],
            _offsets(sizes),
            _offsets(counts),
            self.along[ring],
            self.rank[chosen],
            self.storey[chosen],
            self.width[chosen],
        )


def ways_of(plot: Plot) -> Ways | None:
    """Give all ways near a plot's cell, None where there are none."""
    return plot.keep("ways", lambda: _gather(plot))


def _gather(plot: Plot) -> Ways | None:
    found = [(rank, kind, layer) for rank, kind in enumerate(_KINDS) if (layer := plot.lines(kind)) is not None]
    if not found:
        return None
    layers = [layer for _, _, layer in found]
    ids = np.concatenate([layer.ids for layer in layers])
    ways = Ways(
        coords=np.concatenate([layer.coords for layer in layers]),
        rings=_offsets(np.concatenate([np.diff(layer.rings) for layer in layers])),
        features=_offsets(np.concatenate([np.diff(layer.features) for layer in layers])),
        along=np.concatenate([layer.along for layer in layers]),
        rank=np.repeat([rank for rank, _, _ in found], [len(layer) for layer in layers]),
        storey=np.concatenate([_storeys(layer) for layer in layers]),
        width=np.concatenate([plot.widths(kind, layer) for _, kind, layer in found]),
    )
    return ways.pick(np.lexsort((ids, ways.rank, ways.storey)))


def _storeys(layer: VectorLayer) -> NDArray[np.int64]:
    """Tell the storey of each way: ``layer`` counts only where something is a bridge or a tunnel."""
    tagged = layer.layer.astype(np.int64)
    over = np.where(layer.bridge, np.maximum(tagged, 1), 0)
    return np.where(layer.tunnel, np.minimum(tagged, -1), over)


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
