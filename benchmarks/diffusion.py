"""How fast diffusion makes a map, beside the stock pipeline of diffusers, in one run.

    python benchmarks/diffusion.py [--profiles standard,lightning-8,lightning-4] [--side 3072] [--quick] [--small]

Full-size SDXL and a union ControlNet with random weights paint the sample town: all of it is measured, from drawing
control images to encoded tiles. The stock pipeline paints canvases as large as a window, one at a time, whose border
of an eighth is cropped, and its pictures are drawn beforehand. ``--small`` runs the same on any CPU in seconds, with
networks a fortieth as wide; only the counts mean anything then.

Prints a table in Markdown. *Floor* is the time that the arithmetic alone would take: operations counted on the
networks themselves (two for a multiplication with an addition) over ``--peak``. A *large job* has
102 400 tiles: its speed follows from the time that each kind of window took and the number of windows it needs.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import numpy as np
from full_size import InMemory, Size, random_networks
from workbench import Spent, TimedModel, TimedSupply, Workbench, add_arguments, seconds_without

from mapstyle.engines.base import View, Watch
from mapstyle.engines.diffusion.chain import Chain
from mapstyle.engines.diffusion.denoiser import is_on
from mapstyle.engines.diffusion.engine import Drawn
from mapstyle.engines.diffusion.lattice import LATENT, Lattices, covering, encode_margin
from mapstyle.engines.diffusion.model import SdxlModel
from mapstyle.engines.diffusion.nets import Hint, UnionNet
from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.engines.diffusion.settings import UNION_MODES
from mapstyle.engines.diffusion.spec import DiffusionSpec
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.exports import encode_tile
from mapstyle.frame import Frame
from mapstyle.pipeline import Pipeline

LARGE = 81920
"""Pixels on the side of a large job of full-size windows: 102 400 tiles."""
CROPPED = 8
"""The stock pipeline's canvases lose one part in so many of their width on each side: 128 px of 1024."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", default="standard,lightning-8,lightning-4")
    parser.add_argument("--side", type=int, default=0, help="pixels on the side of what is painted; 3072, small 256")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="threads that draw; the number of cores if left out")
    parser.add_argument("--compile", action="store_true", help="compile the networks too, after all else was measured")
    parser.add_argument("--kernels", action="store_true", help="also tell how long the GPU's kernels ran (CUDA)")
    parser.add_argument("--no-stock", action="store_true")
    parser.add_argument("--quick", action="store_true", help="2048 px, once")
    add_arguments(parser)
    asked = parser.parse_args()
    bench = Bench(asked)
    profiles = asked.profiles.split(",")
    print(bench.heading())
    # First of all: loading settles torch's precision and algorithms for the whole process.
    stock = {} if asked.no_stock else {name: bench.stock(name) for name in profiles}
    rows = [(name, "", bench.ours(name, compiled=False)) for name in profiles]
    if asked.compile:
        rows += [(name, ", compiled", bench.ours(name, compiled=True)) for name in profiles]
    print(table([(name + how, stock.get(name), ours) for name, how, ours in rows]))
    if asked.kernels:
        for name in profiles:
            print(bench.kernels(name))


@dataclass(frozen=True)
class Result:
    """What one way of painting came to; medians of the repeats.

    Attributes:
        speed: megapixels of finished map a second, in the job that was run.
        large: likewise for a large job.
        evaluations: of the UNet, a second, one for each sample of a batch.
        floor: share of the time in which the arithmetic alone would have been done.
        peak: GB of the device's memory.
        idle: share of the time in which the model did not work.
        drawing: share of the time in which it did not, and windows were being drawn.
        note: counts.
    """

    speed: float
    large: float
    evaluations: float
    floor: float
    peak: float
    idle: float = 0.0
    drawing: float = 0.0
    note: str = ""


class Bench(Workbench):
    """Both ways of painting, on one machine."""

    def __init__(self, asked: argparse.Namespace) -> None:
        super().__init__(asked)
        side = asked.side or (2 * self.window if asked.small else 2048 if asked.quick else 3072)
        self.repeats = 1 if asked.quick else asked.repeats
        self.frame = self.square(side)
        self.canvas = self.square(self.window)
        self.costs = Costs(self.size)

    def heading(self) -> str:
        cost = self.costs
        return (
            f"{self.told()}; {self.frame.width} px of the sample town at z{self.grid.level:g}, "
            f"median of {self.repeats}.\n"
            f"TFLOP: UNet {cost.unet:.3g}, net {cost.net:.3g}, hint {cost.hint:.3g}, encoding {cost.encode:.3g}, "
            f"decoding {cost.decode:.3g}; peak {self.asked.peak:g} TFLOP/s.\n"
        )

    def ours(self, profile: str, compiled: bool) -> Result:
        """Paint with the product: pipeline, chain and model as they are, the networks from memory."""
        spec = self.spec(self.settings(profile, compile=compiled))
        loaded = InMemory(spec, self.networks)
        self._warm(spec, loaded)
        self.reset_peak()
        runs = [self._line(spec, loaded, self.frame) for _ in range(self.repeats)]
        peak = self.peak()
        results = [self._told(spec, *run, peak) for run in runs]
        return sorted(results, key=lambda result: result.speed)[len(results) // 2]

    def _warm(self, spec: DiffusionSpec, loaded: InMemory) -> None:
        """Have every kind of work done once: encoding, steps with and without guidance, decoding."""
        model, drawn, lattices = self.model(spec, loaded), self.drawn(spec), Lattices(spec.plan, self.grid)
        wide, high = model.batch
        others: list[Any] = [None] * (wide * high - 1)
        for phase in {0, len(spec.plan.phases) - 1}:
            layer = lattices.phases[phase]
            rect = layer.rect(*next(iter(layer.meeting(covering(self.canvas)))))
            pictures = drawn.hints(rect)
            latents = model.start([rect, *others], [drawn.picture(rect.pad(lattices.margin)), *others])
            model.run(phase, latents, [rect, *others], [pictures, *others])
        side = lattices.decode.windows.window
        model.decode(np.zeros((4, side, side), np.float32))

    def stock(self, profile: str) -> Result:
        """Paint canvases with diffusers' own pipeline: the same networks, steps, controls and guidance."""
        plan = self.plan(profile)
        run = self._stock_run(profile, plan)
        run()
        self.reset_peak()
        seconds = median(self.seconds(run) for _ in range(self.repeats if self.asked.quick or self.asked.small else 5))
        side = self.window - 2 * (self.window // CROPPED)
        samples = plan.executed * (2 if plan.cfg > 1 else 1)
        cost = self.costs
        # As it works: the net at every step, and the control images read anew each time.
        flops = samples * (cost.unet + cost.net + 2 * cost.hint) + cost.encode_canvas + cost.decode_canvas
        speed = side**2 / seconds / 1e6
        return Result(speed, speed, samples / seconds, flops / self.asked.peak / seconds, self.peak())

    def kernels(self, profile: str) -> str:
        """Tell the share of the model's time in which the GPU ran kernels."""
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as record

        spec = self.spec(self.settings(profile))
        loaded = InMemory(spec, self.networks)
        self._line(spec, loaded, self.canvas)
        with record(activities=[ProfilerActivity.CUDA]) as seen:
            _, engine = self._line(spec, loaded, self.canvas)
        kernels = sum(event.self_device_time_total for event in seen.key_averages()) / 1e6
        return f"{profile}: kernels ran for {kernels:.2f} s of the model's {engine.model.spent.busy:.2f} s."

    def _line(self, spec: DiffusionSpec, loaded: InMemory, frame: Frame) -> "tuple[float, TimedEngine]":
        """Render a frame and encode its tiles; all is drawn anew."""
        workers = self.asked.workers or max(2, spec.fit.threads)
        engine = TimedEngine(self.model(spec, loaded), self.drawn(spec), Lattices(spec.plan, self.grid), workers)
        pipeline = Pipeline(
            self.layers, self.style, Ready(**{f.name: getattr(spec, f.name) for f in fields(spec)}, engine=engine)
        )
        begun = time.perf_counter()
        for done in pipeline.blocks(frame, workers=engine.workers):
            for tile in done.image.frame.pieces(256, 256):
                encode_tile(done.image.crop(tile).rgba[..., :3])
        wall = time.perf_counter() - begun
        return wall, engine

    def _told(self, spec: DiffusionSpec, wall: float, engine: "TimedEngine", peak: float) -> Result:
        plan, cost, chain, spent = spec.plan, self.costs, engine.chain, engine.model.spent
        controls = spec.settings.controls
        flops = cost.encode * spent.windows.get("start", 0) + cost.decode * spent.windows["decode"]
        flops += cost.hint * len(controls) * len(spent.guided)
        evaluations = 0
        for phase, steps in enumerate(plan.phases):
            made = spent.windows[f"run {phase}"]
            for step in steps:
                samples = made * (2 if step < plan.cfg_steps else 1)
                guided = any(is_on(control, step, plan.executed) for control in controls)
                evaluations += samples
                flops += samples * (cost.unet + (cost.net if guided else 0))
        side = LARGE * self.window // 1024
        far = Frame(self.grid, 0, 0, side, side)
        lattices = chain.lattices
        note = (
            f"{chain.counts.made} windows, {chain.counts.decoded} decoded, {chain.counts.retried} retried; "
            f"{evaluations} evaluations, {lattices.overhead(self.frame):.2f} x bare windows here, "
            f"{lattices.overhead(far):.2f} x in a large job"
        )
        return Result(
            speed=self.frame.width * self.frame.height / wall / 1e6,
            large=side**2 / _seconds_of(lattices, far, spent, engine.seconds - spent.busy) / 1e6,
            evaluations=evaluations / engine.seconds,
            floor=flops / self.asked.peak / engine.seconds,
            peak=peak,
            idle=1 - spent.busy / wall,
            drawing=seconds_without(engine.supply.worked, spent.worked) / wall,
            note=note,
        )

    def _stock_run(self, profile: str, plan: Plan) -> Callable[[], Any]:
        import torch
        from diffusers import StableDiffusionXLControlNetUnionImg2ImgPipeline
        from PIL import Image

        networks, settings = self.networks, self.settings(profile)
        pipe = StableDiffusionXLControlNetUnionImg2ImgPipeline(
            vae=networks.base.vae,
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=networks.base.unet,
            controlnet=networks.net,
            scheduler=_scheduler(plan, networks.base.scheduler_config),
            add_watermarker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        drawn, rect = self.drawn(self.spec(settings)), covering(self.canvas)
        ground, hints = drawn.picture(rect), drawn.hints(rect)
        width = self.networks.base.unet.config.cross_attention_dim
        pooled = self.size.texts[1]
        kind = {"device": self.fit.device, "dtype": getattr(torch, self.fit.dtype)}
        prompt = {
            "prompt_embeds": torch.randn(1, 77, width, **kind),
            "pooled_prompt_embeds": torch.randn(1, pooled, **kind),
        }
        if plan.cfg > 1:
            prompt |= {f"negative_{name}": value.clone() for name, value in prompt.items()}
        arguments = {
            "image": Image.fromarray(ground), "control_image": [Image.fromarray(h) for h in hints],
            "control_mode": [UNION_MODES[c.mode] for c in settings.controls if c.mode],
            "controlnet_conditioning_scale": [c.scale for c in settings.controls],
            "control_guidance_end": [c.end for c in settings.controls],
            "strength": settings.strength, "num_inference_steps": plan.steps, "guidance_scale": plan.cfg,
            "height": self.window, "width": self.window, "output_type": "np", **prompt,
        }  # fmt: skip
        return lambda: pipe(**arguments)


class TimedEngine:
    """The engine, with its networks from memory and clocks on it.

    Attributes:
        seconds: in which ground was painted.
    """

    def __init__(self, model: SdxlModel, drawn: Drawn, lattices: Lattices, workers: int) -> None:
        self.model, self.workers = TimedModel(model), workers
        self.supply = TimedSupply(drawn)
        self.chain = Chain(lattices, self.model, WindowStore(None), self.supply, workers=workers)
        self.seconds = 0.0

    def paint(self, frame: Frame, view: View, seed: int) -> Any:
        begun = time.perf_counter()
        done = self.chain.paint(frame)
        self.seconds += time.perf_counter() - begun
        return done


@dataclass(frozen=True)
class Ready(DiffusionSpec):
    """A spec whose engine is loaded already."""

    engine: Any = None

    def load(self, watch: Watch | None = None) -> Any:
        return self.engine


class Costs:
    """TFLOP of each part, counted on networks that have shapes and no weights."""

    def __init__(self, size: Size) -> None:
        import torch

        hollow = random_networks(size, "meta", "float32")
        unet, vae, net = hollow.base.unet, hollow.base.vae, hollow.net
        paint, decode = size.lattice.paint.window, size.lattice.decode.window
        width, pooled = unet.config.cross_attention_dim, size.texts[1]

        def empty(*shape: int) -> Any:
            return torch.empty(shape, device="meta")

        x, step, words = empty(1, 4, paint, paint), empty(), empty(1, 77, width)
        added = {"text_embeds": empty(1, pooled), "time_ids": empty(1, 6)}
        first, embedding = net.config.block_out_channels[0], net.config.block_out_channels[0] * 4
        hint = Hint(empty(1, first, paint, paint), 1.0, empty(1, embedding))
        margin = paint + 2 * encode_margin(size.lattice.paint)
        self.unet = _tera(lambda: unet(x, step, words, added_cond_kwargs=added))
        self.net = _tera(lambda: UnionNet(net).residuals(x, step, words, added["text_embeds"], added["time_ids"], hint))
        self.hint = _tera(lambda: net.controlnet_cond_embedding(empty(1, 3, paint * LATENT, paint * LATENT)))
        self.encode = _tera(lambda: vae.encode(empty(1, 3, margin * LATENT, margin * LATENT)))
        self.decode = _tera(lambda: vae.decode(empty(1, 4, decode, decode)))
        self.encode_canvas = _tera(lambda: vae.encode(empty(1, 3, paint * LATENT, paint * LATENT)))
        self.decode_canvas = _tera(lambda: vae.decode(x))


def table(rows: list[tuple[str, Result | None, Result]]) -> str:
    """Write results as Markdown."""
    columns = ["profile", "stock, MP/s", "ours, MP/s", "large job, MP/s", "x stock", "evaluations/s, stock", "ours"]
    columns += ["floor, stock", "ours", "GB, stock", "ours", "model idle", "and drawing"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    notes = []
    for name, stock, ours in rows:
        told = [f"{stock.speed:.3g}" if stock else "-", f"{ours.speed:.3g}", f"{ours.large:.3g}"]
        told += [f"{ours.large / stock.speed:.2f}" if stock else "-"]
        told += [f"{stock.evaluations:.3g}" if stock else "-", f"{ours.evaluations:.3g}"]
        told += [f"{stock.floor:.0%}" if stock else "-", f"{ours.floor:.0%}"]
        told += [f"{stock.peak:.1f}" if stock else "-", f"{ours.peak:.1f}", f"{ours.idle:.0%}", f"{ours.drawing:.0%}"]
        lines.append(f"| {name} | " + " | ".join(told) + " |")
        notes.append(f"- {name}: {ours.note}")
    return "\n".join([*lines, "", *notes])


def _seconds_of(lattices: Lattices, frame: Frame, spent: Spent, beside: float) -> float:
    """Tell how long a frame would take, from how long each kind of window took.

    Args:
        lattices: of the plan that was run.
        frame: any.
        spent: by the model, on another frame.
        beside: seconds that the chain took there between windows; they grow with the number of windows.
    """
    cone = lattices.cone(frame)
    counts = {f"run {phase}": len(block) for phase, block in enumerate(cone.phases)}
    counts |= {"start": counts["run 0"], "decode": len(cone.decode)}
    model = sum(seconds / spent.windows[kind] * counts[kind] for kind, seconds in spent.seconds.items())
    return model + beside * sum(counts.values()) / sum(spent.windows.values())


def _scheduler(plan: Plan, config: dict[str, Any]) -> Any:
    from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler

    if plan.sampler == "dpmpp-2m-karras":
        return DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True, timestep_spacing=plan.spacing)
    assert plan.sampler == "euler", f"no stock scheduler for {plan.sampler} here"
    return EulerDiscreteScheduler.from_config(config, timestep_spacing=plan.spacing)


def _tera(work: Callable[[], Any]) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e12


if __name__ == "__main__":
    main()
