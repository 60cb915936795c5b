"""Edges and lines found in a picture by controlnet_aux, for controls that come from one."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import EngineError, nearest

Picture = NDArray[np.uint8]

_SILENCE = Lock()
"""Held while warnings are off, for they are off in every thread."""


class Detector(Protocol):
    """Something that turns a picture into a control image: white lines on black, the same each time."""

    @property
    def margin(self) -> int:
        """Real pixels that it should see around what is wanted."""

    def __call__(self, rgb: Picture) -> Picture:
        """Give uint8[height, width, 3] for uint8[height, width, 3], RGB."""


@dataclass(frozen=True)
class _Recipe:
    """How a detector of controlnet_aux is made and called.

    Attributes:
        make: takes the package and the weights (empty where there are none), gives what is called.
        margin: see :class:`Detector`.
        published: the file of weights as its authors publish it; empty where it needs none.
        options: what it is called with, besides the picture and its size.
        sizes: names of the options that tell the length of the shorter side.
        multiple: the picture is stretched unless both sides are multiples of this.
    """

    make: Callable[[Any, Mapping[str, Any]], Callable[..., Any]]
    margin: int
    published: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[str, ...] = ("detect_resolution", "image_resolution")
    multiple: int = 64


def find_detector(name: str, weights: Path | None = None) -> Detector:
    """Make a detector ready.

    Args:
        name: 'canny', 'lineart-standard', or one of those with a network: 'hed', 'pidi', 'lineart', ...
        weights: the network's, as ``.safetensors``.

    Raises:
        EngineError: there is no such detector, it lacks its weights, or controlnet_aux cannot be imported.
    """
    if name in _REFUSED:
        raise EngineError(f"the detector '{name}' is of no use here: {_REFUSED[name]}. {_without_weights()}")
    recipe = _RECIPES.get(name)
    if recipe is None:
        raise EngineError(f"there is no detector '{name}'. {nearest(name, _RECIPES)}")
    tensors: Mapping[str, Any] = {}
    if recipe.published:
        if weights is None:
            raise EngineError(
                f"the detector '{name}' needs weights, which its authors publish as a pickle ({recipe.published}) "
                f"only, and only .safetensors are loaded. {_without_weights()}"
            )
        tensors = _read(name, weights)
    package = _controlnet_aux(name)
    try:
        return _Ready(recipe, recipe.make(package, tensors))
    except (RuntimeError, KeyError, ValueError) as error:
        if weights is None:
            raise
        raise EngineError(f"{weights} does not hold weights of the detector '{name}': {_brief(error)}") from error


class _Ready:
    """A detector that can be called."""

    def __init__(self, recipe: _Recipe, call: Callable[..., Any]) -> None:
        self._recipe = recipe
        self._call = call
        self.margin = recipe.margin

    def __call__(self, rgb: Picture) -> Picture:
        """See :class:`Detector`."""
        height, width = rgb.shape[:2]
        step = self._recipe.multiple
        # Sides that are multiples of its step and a resolution that is the shorter side: then nothing is stretched.
        below, beside = -height % step, -width % step
        whole = cv2.copyMakeBorder(rgb, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        sizes = dict.fromkeys(self._recipe.sizes, min(whole.shape[:2]))
        with _SILENCE, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._call(whole, output_type="np", **sizes, **self._recipe.options)
        assert found.shape == whole.shape, "detectors give pictures of the size they are given"
        return np.ascontiguousarray(found[:height, :width])


def _controlnet_aux(name: str) -> Any:
    """Import controlnet_aux, which imports much that may not fit together, and say in one line what is wrong."""
    try:
        with _SILENCE, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import controlnet_aux
    except Exception as error:  # whatever the import of a dozen other packages may raise
        raise EngineError(f"the detector '{name}' needs controlnet_aux, {_cure(error)}") from error
    return controlnet_aux


def _cure(error: Exception) -> str:
    told = _brief(error)
    if isinstance(error, ModuleNotFoundError):
        return f"and {error.name} is not installed; run: pip install 'mapstyle[aux]'"
    if "torchvision" in told:
        return (
            f"and torchvision was built for another torch ({told}); install the two together, from one place: "
            "pip install --force-reinstall torch torchvision"
        )
    if "mediapipe" in told or "solutions" in told:
        return (
            f"which cannot be imported beside this mediapipe ({told}); run: pip uninstall mediapipe "
            "(or pip install 'mediapipe<0.10.31')"
        )
    return f"which cannot be imported ({type(error).__name__}: {told}); run: pip install --upgrade 'mapstyle[aux]'"


def _read(name: str, weights: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if weights.suffix != ".safetensors":
        raise EngineError(f"{weights}: weights of the detector '{name}' must be .safetensors; pickles are not loaded")
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise EngineError(f"{weights}: cannot be read as weights of the detector '{name}': {_brief(error)}") from error
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _brief(error: Exception) -> str:
    """Give the first telling line of a message, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _without_weights() -> str:
    return f"Without weights: {', '.join(n for n, r in _RECIPES.items() if not r.published)}."


def _filled(network: Any, weights: Mapping[str, Any]) -> Any:
    network.load_state_dict(weights)
    return network.float().eval()


def _hed(package: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    return package.HEDdetector(_filled(package.hed.ControlNetHED_Apache2(), weights))


def _pidi(package: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    return package.PidiNetDetector(_filled(package.pidi.pidinet(), weights))


def _lineart(package: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    # It also holds a network for coarse lines, which is the same one with other weights; give those to have them.
    network = _filled(package.lineart.Generator(3, 1, 3), weights)
    return package.LineartDetector(network, network)


def _lineart_anime(package: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    import torch

    network = package.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=torch.nn.InstanceNorm2d)
    return package.LineartAnimeDetector(_filled(network, weights))


def _teed(package: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    return package.TEEDdetector(_filled(package.teed.TED(), weights))


_RECIPES: Mapping[str, _Recipe] = {
    # A faint edge counts where it hangs together with a strong one, however far away; this is far enough for most.
    "canny": _Recipe(lambda package, _: package.CannyDetector(), 64),
    # It divides by the median of what is darker than a threshold, or by 16 if that is more; a median would make lines
    # paler in one cell than in the next. Nothing is darker than 255, so here it is always 16. Its blur reaches 24.
    "lineart-standard": _Recipe(
        lambda package, _: package.LineartStandardDetector(), 32,
        options={"intensity_threshold": 255}, sizes=("detect_resolution",),
    ),
    "hed": _Recipe(_hed, 128, "ControlNetHED.pth"),
    "pidi": _Recipe(_pidi, 128, "table5_pidinet.pth"),
    "lineart": _Recipe(_lineart, 128, "sk_model.pth"),
    "lineart-anime": _Recipe(_lineart_anime, 128, "netG.pth", multiple=256),
    "teed": _Recipe(_teed, 128, "7_model.pth", sizes=("detect_resolution",)),
}  # fmt: skip
"""Detectors by name."""

_DEPTH = "what it finds is relative to each picture, so that neighbours disagree; image = 'depth' draws elevation data"
_BODIES = "it looks for people"
_REFUSED: Mapping[str, str] = {
    "midas": _DEPTH,
    "zoe": _DEPTH,
    "leres": _DEPTH,
    "normal-bae": _DEPTH,
    "sam": "areas are drawn from the map's own: image = 'segmentation'",
    "anyline": "how dark its lines are depends on the rest of the picture; take 'teed' and 'lineart-standard'",
    "mlsd": "it gives the 200 straightest lines of each picture, so that neighbours disagree",
    "shuffle": "it moves everything elsewhere",
    "openpose": _BODIES,
    "dwpose": _BODIES,
    "mediapipe-face": _BODIES,
}
"""Detectors of controlnet_aux that cannot serve a map, and why."""
