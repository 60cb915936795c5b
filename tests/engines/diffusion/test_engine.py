"""The engine with small real models: a function of the ground, whoever asks, however it is shared out."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from small.draw import regions, streets

from mapstyle.engines.base import Watch
from mapstyle.engines.diffusion.fit import Fit
from mapstyle.engines.diffusion.profiles import resolve
from mapstyle.engines.diffusion.registry import Registry
from mapstyle.engines.diffusion.settings import Diffusion
from mapstyle.engines.diffusion.spec import DiffusionSpec, Part, find_parts
from mapstyle.engines.painter import PainterSpec
from mapstyle.errors import EngineError
from mapstyle.frame import Frame, Grid
from mapstyle.image import Scene
from mapstyle.style import load_style

SHEET = Grid.metric("EPSG:32632", 1.0, 50.0)
FRAME = Frame(SHEET, 304, -208, 96, 80)  # in the core of one decoded window: as few evaluations as can be
SEED = 5
LATTICE = {"paint": {"window": 16, "stride": 12, "guard": 1, "ramp": 2},
           "decode": {"window": 24, "stride": 16, "guard": 2, "ramp": 4}}  # fmt: skip


class Ground:
    """Streets and regions without end."""

    def scene(self, frame):
        return Scene(frame, {"building": self.control("edges", frame)[..., 0]})

    def control(self, name, frame):
        draw = {"edges": streets, "segmentation": regions}[name]
        return draw(frame.height, frame.width, seed=3, x0=frame.column, y0=frame.row)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def make(zoo, registry):
    """Give a spec of the quick models with some settings changed."""

    def made(fit=Fit(), cache=None, **changes) -> DiffusionSpec:  # noqa: B008
        table = {
            "prompt": "a painted map", "strength": 1.0, "start": "noise", "steps": 3, "phases": 2, "cfg": 1.0, "sampler": "euler",
            "original_size": 128, "base": {"source": str(zoo.quick)}, "vae": {"source": str(zoo.vae)},
            "preview_vae": {"source": str(zoo.taesd)}, "lattice": LATTICE,
            "nets": {"union": {"source": str(zoo.quick_union)},
                     "plain": {"source": str(zoo.quick_net), "kind": "plain"}},
            "controls": [{"image": "edges", "net": "union", "mode": "thin-line"}],
        }  # fmt: skip
        settings = Diffusion.model_validate({**table, **changes})
        parts = find_parts(settings, "test", None, registry)
        painter = PainterSpec(load_style("watercolour").painter)
        return DiffusionSpec(settings, resolve(settings), painter, parts, fit, cache)

    return made


def paint(spec, frame=FRAME, seed=SEED):
    return spec.load().paint(frame, Ground(), seed)


@pytest.fixture(scope="module")
def picture(make):
    return paint(make())


def test_it_paints_something(picture):
    assert picture.shape == (*FRAME.shape, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_another_extent_and_another_order_give_the_same_pixels(make, picture):
    engine = make().load()
    out = np.zeros_like(picture)
    for piece in reversed(list(FRAME.pad(13).pieces(64, 48))):
        part = engine.paint(piece, Ground(), SEED)
        if (shared := piece.intersection(FRAME)) is not None:
            out[shared.slices(FRAME)] = part[shared.slices(piece)]
    assert np.array_equal(out, picture)


@pytest.mark.parametrize("batch", [(2, 1), (2, 2)])
def test_a_batch_is_the_same_whatever_its_companions(make, batch):
    spec = make(Fit(batch=batch))
    whole = paint(spec)
    part = Frame(SHEET, FRAME.column + 40, FRAME.row + 30, 20, 20)
    # Asked for alone, the same windows sit in the same slots beside other companions, or beside none.
    assert np.array_equal(paint(spec, part), whole[part.slices(FRAME)])


CHANGES = {
    "seed": None,
    "prompt": {"prompt": "something else altogether"},
    "guidance": {"cfg": 2.0},
    "scale": {"controls": [{"image": "edges", "net": "union", "mode": "thin-line", "scale": 0.1}]},
    "control": {"controls": [{"image": "segmentation", "net": "union", "mode": "thin-line"}]},
    "mode": {"controls": [{"image": "edges", "net": "union", "mode": "segment"}]},
    "net": {"controls": [{"image": "edges", "net": "plain"}]},
    "span": {"controls": [{"image": "edges", "net": "union", "mode": "thin-line", "end": 0.4}]},
    "painter's ground": {"controls": [{"image": "painter", "net": "union", "mode": "tile"}]},
    "no control": {"controls": []},
    "start": {"start": "painter"},
    "sampler": {"sampler": "dpmpp-2m-karras"},
    "stochastic sampler": {"sampler": "euler-ancestral"},
    "phases": {"phases": 1},
}


def test_strength_says_how_far_from_the_painters_ground(make):
    away = []
    base = make(start="painter", controls=[]).painter.load().paint(FRAME, Ground(), SEED, base=True).astype(int)
    for steps, strength in ((4, 0.25), (4, 1.0)):
        spec = make(start="painter", steps=steps, strength=strength, controls=[], phases=1)
        away.append(np.abs(paint(spec) - base).mean())
    assert away[0] < away[1]


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_counts_and_is_part_of_the_identity(make, picture, name):
    changes = CHANGES[name]
    if changes is None:
        assert not np.array_equal(paint(make(), seed=SEED + 1), picture)
        return
    spec = make(**changes)
    assert spec.identity() != make().identity()
    assert np.abs(paint(spec).astype(int) - picture).mean() > 0.3


@pytest.mark.parametrize("detector", ["canny", "lineart-standard"])
def test_controls_found_in_the_painters_ground_are_functions_of_the_ground(make, picture, detector):
    spec = make(controls=[{"image": "painter", "detector": detector, "net": "union", "mode": "thin-line"}])
    whole = paint(spec)
    assert not np.array_equal(whole, picture)
    part = Frame(SHEET, FRAME.column + 31, FRAME.row + 17, 33, 20)
    assert np.array_equal(paint(spec, part), whole[part.slices(FRAME)])
    assert spec.identity() != make().identity()


@pytest.mark.long
def test_compiled_networks_are_functions_of_the_ground_too(make):
    spec = make(compile=True)
    whole = paint(spec)
    part = Frame(SHEET, FRAME.column + 31, FRAME.row + 17, 33, 20)
    assert np.array_equal(paint(spec, part), whole[part.slices(FRAME)])


@pytest.mark.parametrize("sampler", ["lcm", "euler-ancestral"])
def test_stochastic_samplers_are_functions_of_the_ground_too(make, sampler):
    spec = make(sampler=sampler)
    whole = paint(spec)
    part = Frame(SHEET, FRAME.column + 31, FRAME.row + 17, 33, 20)
    assert np.array_equal(paint(spec, part), whole[part.slices(FRAME)])


def test_where_weights_lie_is_no_part_of_the_identity(make, zoo, tmp_path):
    other = tmp_path / "elsewhere"
    other.symlink_to(zoo.quick)
    assert make(base={"source": str(other)}).identity() == make().identity()
    assert make(base={"source": str(zoo.sdxl)}).identity() != make().identity()


def test_the_base_may_be_one_file_and_the_vae_its_own(make, zoo):
    folder = paint(make(base={"source": str(zoo.sdxl)}, vae=None, controls=[]))
    lone = paint(make(base={"source": str(zoo.single), "config": str(zoo.config)}, vae=None, controls=[]))
    assert np.array_equal(folder, lone)


def test_the_tiny_vae_serves_previews(make, picture, registry):
    spec = make()
    preview = spec.settings.preview_vae
    part = Part("preview", preview, registry.resolve(preview, "test"))
    tiny = replace(spec, plan=replace(spec.plan, tiny=True), parts=(*spec.parts, part))
    seen = paint(tiny)
    assert seen.std() > 2
    assert not np.array_equal(seen, picture)


def test_loras_take_part_with_their_sign(make, zoo, loras, picture):
    base = {"base": {"source": str(zoo.sdxl)}, "controls": []}
    bare = paint(make(**base)).astype(int)
    style = {"source": str(loras["kohya-block"])}
    up, down = (paint(make(**base, loras=[{**style, "weight": w}])).astype(int) for w in (0.8, -0.8))
    assert np.abs(up - bare).mean() > 0.05
    assert np.abs(down - bare).mean() > 0.05
    assert np.abs(up - down).mean() > 0.05
    assert np.array_equal(paint(make(**base, loras=[{**style, "weight": 0.0}])), bare)


def test_a_config_folder_counts_by_what_is_in_it(make, zoo, tmp_path):
    import shutil

    folder = tmp_path / "config"
    shutil.copytree(zoo.config, folder)
    lone = {"base": {"source": str(zoo.single), "config": str(folder)}, "vae": None, "controls": []}
    before = make(**lone).identity()
    assert make(base={**lone["base"], "config": str(zoo.config)}, vae=None, controls=[]).identity() == before
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.012", "0.013"))
    assert make(**lone).identity() != before


def test_trigger_words_stand_before_the_prompt_once(make, zoo, loras):
    from small.loras import TRIGGER

    source = {"source": str(loras["kohya-block"])}
    two = [{**source, "trigger": "inkwash"}, {**source, "trigger": "inkwash", "trigger_from_file": True}]
    spec = make(base={"source": str(zoo.sdxl)}, controls=[], loras=two)
    assert spec.load().making(1).prompt == f"inkwash, {TRIGGER}, a painted map"


def test_a_long_prompt_is_cut_aloud(make):
    said = []
    make(prompt="word " * 200, controls=[]).load(Watch(said.append))
    assert any("longer than CLIP reads" in line for line in said)


def test_a_control_that_no_step_sees_is_said(make):
    said = []
    late = [{"image": "edges", "net": "union", "mode": "thin-line", "start": 0.4, "end": 0.5}]
    make(controls=late).load(Watch(said.append))
    assert any("does nothing" in line for line in said)


class Blocks:
    """A VAE that packs 8 x 8 pixels into their mean: what goes in comes out in its place, only coarser."""

    dtype = None

    def encode(self, pixels):
        from types import SimpleNamespace

        import torch

        packed = torch.nn.functional.avg_pool2d(pixels, 8)
        return SimpleNamespace(latents=torch.cat([packed, packed.mean(1, keepdim=True)], 1))

    def decode(self, latents, return_dict):
        return (latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3),)


class Copier:
    """A denoiser that leaves the picture as it is, and lays the first control over it."""

    used = frozenset({0})

    def __init__(self, sigmas):
        self._sigmas = sigmas

    def hints(self, images):
        import torch

        return torch.nn.functional.avg_pool2d(images[0].float() / 255, 8)

    def __call__(self, x, step, hints):
        import torch

        lines = torch.cat([hints, hints[:, :1]], 1)
        return -50 * lines / (len(self._sigmas) - 1) / (self._sigmas[step] - self._sigmas[step + 1])


def test_everything_stays_where_it_is_from_encoding_to_the_finished_picture(make):
    import torch

    controls = [{"image": "segmentation", "net": "union", "mode": "segment"}]
    spec = make(start="painter", steps=30, strength=0.1, phases=3, controls=controls)
    engine = spec.load()
    engine._loaded._vae, engine._loaded.vae_scale = Blocks(), 50.0  # so large that noise is nothing beside it
    engine._loaded._vae.dtype = torch.float32
    engine._loaded._denoiser = Copier(engine._loaded.schedule.sigmas)
    frame = Frame(SHEET, 1003, -517, 331, 203)  # on no edge of anything, and not square
    seen = engine.paint(frame, Ground(), SEED).astype(float).mean(2)
    ground = spec.painter.load().paint(frame.pad(8), Ground(), SEED, base=True).astype(float).mean(2)
    lines = Ground().control("segmentation", frame.pad(8)).astype(float).mean(2) / 2
    # An eps of -lines over all noise levels comes to the lines, laid over the painter's ground of streets.
    for expected in (ground + lines, ground, lines):

        def likeness(dx, dy, expected=expected):
            part = expected[8 + dy : 8 + dy + frame.height, 8 + dx : 8 + dx + frame.width]
            return np.corrcoef(part.ravel(), seen.ravel())[0, 1]

        shifts = {(dx, dy): likeness(dx, dy) for dx in (-8, -4, 0, 4, 8) for dy in (-8, -4, 0, 4, 8)}
        assert max(shifts, key=shifts.get) == (0, 0), shifts
    assert np.corrcoef((ground + lines)[8:-8, 8:-8].ravel(), seen.ravel())[0, 1] > 0.6


def test_the_work_said_beforehand_is_the_work_done(make):
    spec = make()
    done = []
    engine = spec.load(Watch(step=done.append))
    engine.paint(FRAME, Ground(), SEED)
    assert sum(done) == spec.work(FRAME) == engine.counts["evaluations"]
    assert spec.overhead(FRAME) > 1


def test_a_change_on_the_ground_reaches_no_further_than_is_said(make):
    class Changed(Ground):
        def control(self, name, frame):
            image = super().control(name, frame)
            x, y = FRAME.column + 8 - frame.column, FRAME.row + 8 - frame.row
            if -4 <= x <= frame.width + 4 and -4 <= y <= frame.height + 4:
                image = image.copy()
                image[max(0, y - 4) : max(0, y + 4), max(0, x - 4) : max(0, x + 4)] ^= 255
            return image

    spec = make()
    wide = Frame(SHEET, FRAME.column, FRAME.row, spec.reach + 200, 64)
    before, after = (spec.load().paint(wide, view, SEED) for view in (Ground(), Changed()))
    columns = np.nonzero((before != after).any((0, 2)))[0]
    assert len(columns) > 10
    assert columns.max() <= 12 + spec.reach


def test_a_spec_that_came_from_another_process_paints_the_same(make, picture):
    import pickle

    spec = pickle.loads(pickle.dumps(make()))
    # Its parts are copies one by one, too: weights are found by what they are called, not by which object they are.
    parts = tuple(pickle.loads(pickle.dumps(part)) for part in spec.parts)
    assert np.array_equal(paint(replace(spec, parts=parts)), picture)


def test_the_making_tells_everything(make, zoo):
    spec = make()
    making = spec.load().making(7)
    assert (making.seed, making.steps, making.evaluated, making.cfg) == (7, 3, 3, 1.0)
    assert [w.role for w in making.weights] == ["base", "vae", "controlnet"]
    assert all(len(w.sha256) == 64 for w in making.weights)
    assert making.exact
    assert making.identity == spec.identity()
    assert str(zoo.quick.parent) not in repr(making)  # where things lie is nobody's business


def _work(spec, frame, done):
    done.put(spec.load().paint(frame, Ground(), SEED))


def test_several_processes_and_a_kill_leave_the_same_pixels(make, picture, tmp_path):
    spec = make(cache=tmp_path / "windows")
    context = multiprocessing.get_context("fork")
    halves = [Frame(SHEET, FRAME.column + x, FRAME.row, 60, FRAME.height) for x in (0, 36)]
    killed = context.Process(target=_work, args=(spec, FRAME, context.Queue()))
    killed.start()
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "windows").glob("??/*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    done = [context.Queue() for _ in halves]
    people = [context.Process(target=_work, args=(spec, half, q)) for half, q in zip(halves, done, strict=True)]
    for person in people:
        person.start()
    parts = [q.get(timeout=120) for q in done]
    for person in people:
        person.join()
    for half, part in zip(halves, parts, strict=True):
        assert np.array_equal(part, picture[half.slices(FRAME)])
    engine = spec.load()
    assert np.array_equal(engine.paint(FRAME, Ground(), SEED), picture)
    assert engine.counts["made"] < engine.counts["found"]


def test_running_out_of_memory_goes_on_smaller_and_says_so(make, monkeypatch):
    import torch

    spec = make(Fit(batch=(2, 2)))
    said = []
    engine = spec.load(Watch(said.append))
    true = type(engine._loaded._denoiser).__call__

    calls = []

    def narrow(self, x, step, hints):
        calls.append(len(x))
        if len(x) > 1 and len(calls) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return true(self, x, step, hints)

    monkeypatch.setattr(type(engine._loaded._denoiser), "__call__", narrow)
    seen = engine.paint(FRAME, Ground(), SEED)
    assert np.abs(seen.astype(int) - paint(make(Fit(batch=(1, 1))))).max() <= 1  # bits differ with the batch
    assert sum("out of memory" in line for line in said) == 1
    making = engine.making(SEED)
    assert not making.exact
    assert making.device["batch"] == "1x1"


def test_a_window_without_numbers_is_done_again_in_float32(make, monkeypatch):
    import torch

    spec = make(Fit(dtype="float16"))
    engine = spec.load()
    true = type(engine._loaded._denoiser).__call__
    calls = []

    def overflow(self, x, step, hints):
        out = true(self, x, step, hints)
        calls.append(self._dtype)
        return out if self._dtype == torch.float32 or len(calls) > 1 else out * torch.inf

    monkeypatch.setattr(type(engine._loaded._denoiser), "__call__", overflow)
    small = Frame(SHEET, FRAME.column, FRAME.row, 8, 8)
    seen = engine.paint(small, Ground(), SEED)
    assert engine.counts["retried"] == 1
    assert torch.float32 in calls
    assert calls[-1] == torch.float16  # and back again
    assert np.abs(seen.astype(int) - paint(spec, small).astype(int)).max() <= 40


def test_a_vae_that_overflows_in_half_precision_is_retried_and_a_hopeless_one_reported(make, monkeypatch):
    spec = make(Fit(dtype="bfloat16"))
    engine = spec.load()
    true = engine._loaded._vae.decode

    def black(z, return_dict=True):
        import torch

        out = true(z, return_dict=False)[0]
        return (out * torch.nan if z.dtype != torch.float32 else out,)

    monkeypatch.setattr(engine._loaded._vae, "decode", black)
    small = Frame(SHEET, FRAME.column, FRAME.row, 8, 8)
    assert engine.paint(small, Ground(), SEED).std() > 0
    assert engine.counts["retried"] > 0
    monkeypatch.setattr(
        engine._loaded._vae,
        "decode",
        lambda z, return_dict=True: (z[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3) * float("nan"),),
    )
    with pytest.raises(EngineError, match="NaN"):
        engine.paint(Frame(SHEET, 5000, 5000, 8, 8), Ground(), SEED)
