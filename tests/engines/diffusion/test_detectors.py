"""Detectors: controlnet_aux's own, on pictures of any size, and plain words where it cannot help."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from mapstyle.engines.diffusion.detectors import find_detector
from mapstyle.errors import EngineError


def town(height, width, seed=3):
    """Draw houses and a road: uint8[height, width, 3]."""
    random = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), (196, 208, 170), np.uint8)
    for _ in range(max(4, height * width // 4000)):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        colour = [int(v) for v in random.integers(40, 255, 3)]
        cv2.rectangle(rgb, (x, y), (x + 19, y + 13), colour, -1)
    cv2.line(rgb, (0, height // 3), (width, height // 2), (250, 250, 250), 5)
    return rgb


@pytest.fixture(scope="module")
def canny():
    return find_detector("canny")


@pytest.fixture(scope="module")
def lines():
    return find_detector("lineart-standard")


@pytest.mark.parametrize("size", [(64, 64), (128, 192), (100, 333), (1, 1), (65, 40)])
@pytest.mark.parametrize("name", ["canny", "lineart-standard"])
def test_gives_a_picture_of_the_same_size_each_time_the_same(name, size):
    detector, rgb = find_detector(name), town(*size)
    before = rgb.copy()
    found = detector(rgb)
    assert found.shape == rgb.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, find_detector(name)(rgb))
    assert np.array_equal(rgb, before)
    if min(size) > 60:
        assert 0 < (found > 100).mean() < 0.5
        assert not np.array_equal(found, detector(np.ascontiguousarray(rgb[:, ::-1])))


def test_canny_is_that_of_opencv_where_it_stands(canny):
    rgb = town(192, 320)
    assert np.array_equal(canny(rgb)[..., 0], cv2.Canny(rgb, 100, 200))
    # An odd size is not stretched: the edges stay where they are.
    odd = canny(rgb[:150, :301])[..., 0]
    assert np.array_equal(odd[:140, :290], cv2.Canny(rgb, 100, 200)[:140, :290])


def test_a_margin_makes_lines_independent_of_the_cell(lines):
    rgb = town(320, 448)
    m = lines.margin
    whole = lines(rgb)
    part = lines(rgb[100 - m : 228 + m, 150 - m : 300 + m])[m:-m, m:-m]
    assert np.array_equal(part, whole[100:228, 150:300])
    assert not np.array_equal(lines(rgb[100:228, 150:300]), whole[100:228, 150:300])


def test_lines_are_as_dark_beside_dark_ground_as_alone(lines):
    rgb = np.full((256, 512, 3), 230, np.uint8)
    cv2.line(rgb, (60, 20), (60, 230), (190, 190, 190), 3)
    alone = lines(rgb[:, :256])
    for x in range(300, 500, 12):
        cv2.line(rgb, (x, 0), (x, 255), (0, 0, 0), 5)
    beside = lines(rgb)[:, :200]
    assert alone[:, :200].max() > 100
    assert np.array_equal(beside, alone[:, :200])


def test_faint_ground_has_no_lines_and_no_warnings(lines, recwarn):
    assert lines(np.full((70, 90, 3), 128, np.uint8)).max() == 0
    assert not recwarn.list


NETWORKS = {
    "hed": lambda aux: aux.hed.ControlNetHED_Apache2(),
    "pidi": lambda aux: aux.pidi.pidinet(),
    "lineart": lambda aux: aux.lineart.Generator(3, 1, 3),
    "lineart-anime": lambda aux: aux.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=torch.nn.InstanceNorm2d),
    "teed": lambda aux: aux.teed.TED(),
}


def save_random(name, path, prefix=""):
    """Save random weights for a detector's network."""
    import controlnet_aux
    from safetensors.torch import save_file

    torch.manual_seed(1)
    tensors = NETWORKS[name](controlnet_aux).state_dict()
    save_file({prefix + key: value.clone().contiguous() for key, value in tensors.items()}, path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_reads_weights_from_safetensors(name, tmp_path, canny):  # canny has imported the package
    path = save_random(name, tmp_path / "net.safetensors", "module." if name == "pidi" else "")
    detector, rgb = find_detector(name, path), town(70, 100)
    path.unlink()  # some are large
    found = detector(rgb)
    assert found.shape == rgb.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, detector(rgb))
    assert not np.array_equal(found, detector(255 - rgb))


def test_weights_of_another_network_are_refused(tmp_path, canny):
    path = save_random("teed", tmp_path / "teed.safetensors")
    with pytest.raises(EngineError, match=r"teed.safetensors does not hold weights of the detector 'hed'") as told:
        find_detector("hed", path)
    assert "\n" not in str(told.value)


def test_damaged_weights_and_pickles_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(EngineError, match="cannot be read as weights of the detector 'hed'"):
        find_detector("hed", path)
    pickle = tmp_path / "ControlNetHED.pth"
    pickle.write_bytes(b"\x80\x04.")
    with pytest.raises(EngineError, match=r"must be .safetensors; pickles are not loaded"):
        find_detector("hed", pickle)


def test_a_detector_without_its_weights_says_which_need_none():
    with pytest.raises(EngineError) as told:
        find_detector("hed")
    assert str(told.value) == (
        "the detector 'hed' needs weights, which its authors publish as a pickle (ControlNetHED.pth) only, "
        "and only .safetensors are loaded. Without weights: canny, lineart-standard."
    )


def test_an_unknown_detector_is_told_the_nearest():
    with pytest.raises(EngineError, match=r"there is no detector 'cany'\. Did you mean 'canny'"):
        find_detector("cany")


@pytest.mark.parametrize("name", ["midas", "shuffle", "openpose"])
def test_a_detector_that_cannot_serve_a_map_says_why(name):
    with pytest.raises(EngineError, match=rf"the detector '{name}' is of no use here: .*canny"):
        find_detector(name)


FAIL = """
import sys, types
from importlib.abc import MetaPathFinder
from mapstyle.engines.diffusion.detectors import find_detector
from mapstyle.errors import EngineError

class Broken(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "controlnet_aux":
            raise {error}

sys.meta_path.insert(0, Broken())
for _ in range(2):
    try:
        find_detector("canny")
    except EngineError as told:
        print(told)
"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            "ModuleNotFoundError(\"No module named 'controlnet_aux'\", name='controlnet_aux')",
            "the detector 'canny' needs controlnet_aux, and controlnet_aux is not installed; "
            "run: pip install 'mapstyle[aux]'",
        ),
        (
            "ModuleNotFoundError(\"No module named 'timm'\", name='timm')",
            "the detector 'canny' needs controlnet_aux, and timm is not installed; run: pip install 'mapstyle[aux]'",
        ),
        (
            "RuntimeError('operator torchvision::nms does not exist')",
            "the detector 'canny' needs controlnet_aux, and torchvision was built for another torch "
            "(operator torchvision::nms does not exist); install the two together, from one place: "
            "pip install --force-reinstall torch torchvision",
        ),
        (
            "AttributeError(\"module 'mediapipe' has no attribute 'solutions'\")",
            "the detector 'canny' needs controlnet_aux, which cannot be imported beside this mediapipe "
            "(module 'mediapipe' has no attribute 'solutions'); run: pip uninstall mediapipe "
            "(or pip install 'mediapipe<0.10.31')",
        ),
        (
            "OSError('libGL.so.1: cannot open shared object file')",
            "the detector 'canny' needs controlnet_aux, which cannot be imported (OSError: libGL.so.1: cannot open "
            "shared object file); run: pip install --upgrade 'mapstyle[aux]'",
        ),
    ],
)
def test_a_package_that_cannot_be_imported_is_one_plain_line(error, told):
    script = FAIL.replace("{error}", error)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [told, told]


def test_importing_the_detectors_imports_nothing_heavy():
    script = (
        "import sys, mapstyle.engines.diffusion.detectors;"
        "print([m for m in ('torch', 'controlnet_aux', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_as_it_is_installed_serves_or_says_why_in_one_line():
    script = (
        "from mapstyle.engines.diffusion.detectors import find_detector\n"
        "from mapstyle.errors import EngineError\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        print('made' if find_detector('canny').margin else '')\n"
        "    except EngineError as told:\n"
        "        print(told)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == second
    assert first == "made" or "pip install" in first
    assert not done.stderr
