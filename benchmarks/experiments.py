"""The experiments that settle the lattice's open numbers (D1-D8), as tables in Markdown.

    python benchmarks/experiments.py [--only D2,D8] [--quick] [--small] [--base FOLDER --net FOLDER [--lora FILE@1]]

D1 overlap disagreement by noise level; D2 which bits depend on batch, slot and companions; D3 error by distance to a
window's edge; D4 disagreement of decoded windows, and a decoder with frozen norms; D5 seams by number of phases;
D6 crop conditioning; D7 tiny against full VAE for encoding; D8 throughput by batch.

D2 and D8 mean something with random weights; the others then only show that they run, and want ``--base``.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from full_size import InMemory
from painting import Painting, frozen_norms, lines_of, overlaps
from workbench import Workbench, add_arguments

from mapstyle.audit.seams import examine
from mapstyle.engines.diffusion.batches import Latents, Picture
from mapstyle.engines.diffusion.denoiser import Hints
from mapstyle.engines.diffusion.lattice import LATENT, Lattices, Rect, covering, encode_margin
from mapstyle.engines.diffusion.settings import Diffusion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="which, such as D2,D8")
    parser.add_argument("--profile", default="lightning-8")
    parser.add_argument("--side", type=int, default=0, help="pixels painted where a picture is judged for seams")
    parser.add_argument("--batches", default="1,2,4,8,16", help="batches of D2 (up to 8) and D8")
    parser.add_argument("--compile", action="store_true", help="D8: compiled networks too")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    add_arguments(parser)
    asked = parser.parse_args()
    bed = Bed(asked)
    print(f"{bed.told()}; {asked.profile}\n")
    for name in asked.only.split(","):
        title, experiment = EXPERIMENTS[name]
        print(f"**{name}: {title}**\n", flush=True)
        print("\n".join(experiment(bed)), "\n", flush=True)


class Bed(Workbench):
    """What the experiments share."""

    def __init__(self, asked: argparse.Namespace) -> None:
        super().__init__(asked)
        stride = self.size.lattice.decode.stride * LATENT
        self.side = asked.side or (5 if asked.quick else 7) * stride + stride // 2
        self.few = 2 * self.window if asked.quick else 3 * self.window

    def phased(self, phases: int, **changes: Any) -> Diffusion:
        return self.settings(self.asked.profile, phases=phases, **changes)

    @property
    def executed(self) -> int:
        return self.plan(self.asked.profile).executed

    def paint(self, settings: Diffusion, side: int, encode: Any = None) -> Painting:
        return Painting(self, settings, self.square(side), encode)


def d1(bed: Bed) -> Iterator[str]:
    """Compare the clean pictures of neighbouring windows at every noise level."""
    yield "| guided by | step | sigma | rho | RMS of the difference | std |"
    yield "|---|---|---|---|---|---|"
    guard = bed.size.lattice.paint.guard
    full = bed.plan(bed.asked.profile).steps
    for name, phases, changes in (
        ("controls and ground", bed.executed, {}),
        ("ground", bed.executed, {"controls": ()}),
        ("controls", full, {"start": "noise", "strength": 1.0}),
        ("nothing", full, {"start": "noise", "strength": 1.0, "controls": ()}),
    ):
        painting = bed.paint(bed.phased(phases, **changes), bed.few)
        for phase, after in enumerate(painting.after):
            clean = {r: painting.clean(phase, painting.before[phase][r], v) for r, v in after.items()}
            pairs = list(overlaps(clean, guard))
            first = np.concatenate([(a - (a + b).mean((1, 2), keepdims=True) / 2).ravel() for a, b in pairs])
            second = np.concatenate([(b - (a + b).mean((1, 2), keepdims=True) / 2).ravel() for a, b in pairs])
            rho = float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))
            rms, std = float(np.sqrt(((first - second) ** 2).mean())), float(first.std())
            yield f"| {name} | {phase} | {painting.sigmas(phase)[0]:.2f} | {rho:.3f} | {rms:.3f} | {std:.3f} |"


def d2(bed: Bed) -> Iterator[str]:
    """Compare a sample's bits across runs, companions, slots and sizes of batches."""
    import torch

    yield "| network | batch | again | other companions | NaN companions | other slot | alone |"
    yield "|---|---|---|---|---|---|---|"
    loaded = InMemory(bed.spec(bed.settings("standard")), bed.networks)
    kind = {"device": bed.fit.device, "dtype": getattr(torch, bed.fit.dtype)}
    unet, net, vae = bed.networks.base.unet, bed.networks.net, bed.networks.base.vae
    side, modes = bed.size.lattice.paint.window, [3, 5]
    draw = torch.Generator(bed.fit.device).manual_seed(1)

    def noise(*shape: int) -> Any:
        return torch.randn(shape, generator=draw, **kind)

    words, pooled, times = noise(1, 77, unet.config.cross_attention_dim), noise(1, bed.size.texts[1]), noise(1, 6).abs()

    def added(count: int) -> dict[str, Any]:
        return {"text_embeds": pooled.repeat(count, 1), "time_ids": times.repeat(count, 1)}

    def run_unet(x: Any) -> Any:
        return unet(x, 500, words.repeat(len(x), 1, 1), added_cond_kwargs=added(len(x)), return_dict=False)[0]

    def run_stock_net(image: Any) -> Any:
        x = torch.zeros(len(image), 4, side, side, **kind)
        types = torch.zeros(len(image), net.config.num_control_type, **kind)
        types[:, modes] = 1
        told = {"controlnet_cond": [image, 1 - image], "control_type": types, "control_type_idx": modes}
        scales = {"conditioning_scale": [0.8, 0.6], "added_cond_kwargs": added(len(x)), "return_dict": False}
        return net(x, 500, words.repeat(len(x), 1, 1), **told, **scales)[1]

    def run_all(image: Any) -> Any:
        # As a guided step goes: both samples of each window in one batch, the net before the UNet.
        x = state[: len(image)]
        with loaded.in_float32(False) as denoiser:
            return denoiser(x, 0, denoiser.hints({0: image, 1: 1 - image}))

    most = min(8, max(int(b) for b in bed.asked.batches.split(",")))
    state = noise(1, 4, side, side).float().repeat(most, 1, 1, 1)
    pixels = side * LATENT
    parts: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
        "UNet": (run_unet, (4, side, side)),
        "UNet and net, guided": (run_all, (3, pixels, pixels)),
        "net as diffusers has it": (run_stock_net, (3, pixels, pixels)),
        "VAE, encode": (lambda x: vae.encode(x).latent_dist.mode(), (3, pixels, pixels)),
        "VAE, decode": (lambda x: vae.decode(x, return_dict=False)[0], (4, side, side)),
    }
    for name, (run, shape) in parts.items():
        with torch.inference_mode():
            mine = noise(1, *shape)
            if shape[0] == 3:
                mine = mine.sigmoid()
            alone = run(mine)[:1].float()
            for batch in (b for b in map(int, bed.asked.batches.split(",")) if b <= most):

                def placed(others: Any, slot: int, run: Any = run, own: Any = mine) -> Any:
                    whole = others.clone()
                    whole[slot] = own[0]
                    return run(whole)[slot : slot + 1].float()

                some = [noise(batch, *shape).sigmoid() if shape[0] == 3 else noise(batch, *shape) for _ in range(2)]
                first = placed(some[0], 0)
                found = [placed(others, 0) for others in (some[0], some[1], torch.full_like(some[0], torch.nan))]
                found += [placed(some[0], batch - 1), alone]
                yield f"| {name} | {batch} | " + " | ".join(f"{_furthest(first, f):.1e}" for f in found) + " |"


def d3(bed: Bed) -> Iterator[str]:
    """Compare windows with ones shifted by three eighths, by the distance to the edge."""
    lattice = bed.size.lattice.paint
    shift = lattice.window * 3 // 8
    near = [d for d in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 47) if d < shift]
    yield "| step | sigma | " + " | ".join(f"{d}" for d in near) + " |"
    yield "|" + "---|" * (len(near) + 2)
    painting = bed.paint(bed.phased(bed.executed), bed.few)
    quarter = lattice.window // 4
    for phase in sorted({1, bed.executed // 2, bed.executed - 1} & set(range(1, bed.executed))):
        layer = painting.lattices.phases[phase]
        rects = [layer.rect(*w) for w in layer.meeting(covering(painting.frame))][: 4 if bed.asked.quick else 9]
        moved = [Rect(r.x + shift, r.y, r.width, r.height) for r in rects]
        clean = painting.evaluate(phase, [*rects, *moved])
        errors = []
        for mine, other in zip(clean[: len(rects)], clean[len(rects) :], strict=True):
            rows = slice(quarter, 3 * quarter)
            errors.append((mine[:, rows, shift:] - other[:, rows, : lattice.window - shift])[..., ::-1] ** 2)
        scale = float(np.stack(clean).std())
        profile = np.sqrt(np.mean(errors, axis=(0, 1, 2))) / scale
        yield f"| {phase} | {painting.sigmas(phase)[0]:.2f} | " + " | ".join(f"{profile[d]:.4f}" for d in near) + " |"
    yield f"\nRMS over the standard deviation, by latents from the edge; the guard is {lattice.guard}."


def d4(bed: Bed) -> Iterator[str]:
    """Compare decoded windows where they overlap, with the VAE's own norms and with frozen ones."""
    painting = bed.paint(bed.settings(bed.asked.profile), 2 * bed.size.lattice.decode.stride * LATENT)
    guard = bed.size.lattice.decode.guard
    own = {rect: painting.model.decode(code).astype(np.float32) for rect, code in painting.codes.items()}
    with frozen_norms(
        bed.networks.base.vae.decoder, lambda: [painting.model.decode(c) for c in painting.codes.values()]
    ):
        frozen = {rect: painting.model.decode(code).astype(np.float32) for rect, code in painting.codes.items()}
    yield "| decoder | mean abs. difference in overlaps | 99th percentile | largest | PSNR to its own norms | bias |"
    yield "|---|---|---|---|---|---|"
    for name, pictures in (("own norms", own), ("frozen norms", frozen)):
        apart = np.concatenate([np.abs(a - b).ravel() * 255 for a, b in overlaps(pictures, guard, LATENT)])
        m = guard * LATENT
        if name == "own norms":
            yield f"| {name} | {apart.mean():.2f} | {np.percentile(apart, 99):.1f} | {apart.max():.0f} | - | - |"
            continue
        error = np.stack([(pictures[r] - own[r])[:, m:-m, m:-m] for r in own]) * 255
        psnr = 10 * np.log10(255**2 / max(1e-12, float((error**2).mean())))
        told = [f"{apart.mean():.2f}", f"{np.percentile(apart, 99):.1f}", f"{apart.max():.0f}"]
        yield f"| {name} | " + " | ".join(told) + f" | {psnr:.1f} dB | {np.abs(error.mean((0, 2, 3))).max():.2f} |"
    yield "\nIn levels of 255, over supports of decode windows."


def d5(bed: Bed) -> Iterator[str]:
    """Measure the seams of pictures painted in more and more phases."""
    yield "| phases | UNet evaluations, x bare | gradient | spectrum | texture | tone | failed |"
    yield "|---|---|---|---|---|---|---|"
    counts = [k for k in (1, 2, 3, 6) if k <= bed.executed]
    frame = bed.square(bed.side)
    for k in [0, *counts]:
        if k:
            painting = bed.paint(bed.phased(k), bed.side)
            picture, lattices = painting.picture, painting.lattices
            cost = f"{lattices.overhead(frame):.2f}"
        else:
            spec = bed.spec(bed.phased(bed.executed))
            ground = bed.drawn(spec).picture(covering(frame))
            assert ground is not None
            picture, lattices, cost = ground, Lattices(spec.plan, bed.grid), "-"
        found = examine(picture, lines_of(lattices, frame))
        worst = {
            check: max((f for f in found if f.check == check), key=lambda f: abs(f.z))
            for check in ("gradient", "spectrum", "texture", "tone")
        }
        told = " | ".join(f"{f.score:.3f} (z {f.z:.1f})" for f in worst.values())
        yield f"| {k or 'ground'} | {cost} | {told} | {sum(not f.passed for f in found)} of {len(found)} |"
    yield "\nThe finding of the largest z; *ground* is what the painter gave, in which no lattice can be."


def d6(bed: Bed) -> Iterator[str]:
    """Look for frames, vignettes and subjects in the middle of windows, by what SDXL is told of sizes."""
    yield "| original | crop | middle less edge, levels | texture, edge over middle | RMS to the first, levels |"
    yield "|---|---|---|---|---|"
    first = None
    for original, crop in ((1024, 0), (1536, 256), (2048, 512)):
        painting = bed.paint(bed.phased(1, original_size=original, crop=crop), bed.few)
        rects = sorted(painting.after[-1])[: 4 if bed.asked.quick else 16]
        seen = np.stack([painting.model.decode(painting.after[-1][r]) for r in rects]).mean(1) * 255
        ground = np.stack([painting.drawn.picture(r) for r in rects]).mean(3)
        inward = np.minimum(np.arange(bed.window), np.arange(bed.window)[::-1])
        away = np.minimum(inward[:, None], inward[None, :])
        edge, middle = away < bed.window // 8, away > bed.window // 4
        apart = seen - ground
        tone = float(apart[:, middle].mean() - apart[:, edge].mean())
        rough = np.abs(np.diff(seen, axis=2, prepend=seen[..., :1]))
        texture = float(rough[:, edge].mean() / max(1e-9, rough[:, middle].mean()))
        first = seen if first is None else first
        yield f"| {original} | {crop} | {tone:.2f} | {texture:.3f} | {np.sqrt(((seen - first) ** 2).mean()):.2f} |"


def d7(bed: Bed) -> Iterator[str]:
    """Encode the ground with the tiny VAE instead of the full one."""
    import torch

    tiny = bed.networks.tiny
    if tiny is None:
        yield "needs --tiny"
        return

    def encode(picture: Picture) -> Latents:
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, 2, 0)))[None].to(bed.fit.device)
            code = tiny.encode(pixels.to(next(tiny.parameters()).dtype) / 127.5 - 1).latents
            m = encode_margin(bed.size.lattice.paint)
            values: Latents = (code[0, :, m:-m, m:-m].float() * tiny.config.scaling_factor).cpu().numpy()
            return values

    yield "| strength | sigma at the start | RMS between the codes | of sigma | pictures apart, levels |"
    yield "|---|---|---|---|---|"
    for strength in (0.5, 0.625, 0.75):
        settings = bed.settings(bed.asked.profile, strength=strength)
        own, other = (bed.paint(settings, bed.few // 2, encode=e) for e in (None, encode))
        codes = [own.before[0][r] - other.before[0][r] for r in own.before[0]]
        rms = float(np.sqrt(np.mean(np.square(codes))))
        sigma = own.loaded.schedule.sigmas[0]
        apart = np.abs(own.picture.astype(np.int16) - other.picture).mean()
        yield f"| {strength:g} | {sigma:.2f} | {rms:.3f} | {rms / sigma:.1%} | {apart:.2f} |"


def d8(bed: Bed) -> Iterator[str]:
    """Time one evaluation of UNet and net by batch, as it is and as a CUDA graph, and the VAE."""
    import torch
    from diffusion import Costs

    cost = Costs(bed.size)
    repeats = 3 if bed.asked.quick or not bed.cuda else 10
    yield "| what | batch | ms a window | TFLOP/s | of the peak | GB |"
    yield "|---|---|---|---|---|---|"
    ways = ["as it is", *(["graph", "channels last"] if bed.cuda else []), *(["compiled"] if bed.asked.compile else [])]
    for way in ways:
        settings = bed.settings("lightning-8", compile=way == "compiled")
        loaded = InMemory(bed.spec(settings), bed.networks)
        if way == "channels last":
            for net in (bed.networks.base.unet, bed.networks.net):
                net.to(memory_format=torch.channels_last)
        for batch in map(int, bed.asked.batches.split(",")):
            with loaded.in_float32(False) as denoiser, torch.inference_mode():
                try:
                    bed.reset_peak()
                    run = _step(bed, denoiser, batch, graph=way == "graph")
                    run()
                    took = sorted(bed.seconds(run) for _ in range(repeats))[repeats // 2] / batch
                except (RuntimeError, torch.OutOfMemoryError) as error:
                    yield f"| {way} | {batch} | {str(error).splitlines()[0][:80]} |"
                    continue
            yield _speed(f"UNet and net, {way}", batch, took, cost.unet + cost.net, bed)
        if way == "channels last":
            for net in (bed.networks.base.unet, bed.networks.net):
                net.to(memory_format=torch.contiguous_format)
    kind = {"device": bed.fit.device, "dtype": getattr(torch, bed.fit.dtype)}
    wide = (bed.size.lattice.paint.window + 2 * encode_margin(bed.size.lattice.paint)) * LATENT
    high = bed.size.lattice.decode.window
    pixels, code = torch.rand(1, 3, wide, wide, **kind), torch.randn(1, 4, high, high, **kind)
    vae = bed.networks.base.vae
    for name, work, flops in (
        ("encode", lambda: vae.encode(pixels), cost.encode),
        ("decode", lambda: vae.decode(code), cost.decode),
    ):
        bed.reset_peak()
        with torch.inference_mode():
            work()
            took = sorted(bed.seconds(work) for _ in range(repeats))[repeats // 2]
        yield _speed(f"VAE, {name}", 1, took, flops, bed)


def _step(bed: Bed, denoiser: Any, batch: int, graph: bool) -> Callable[[], Any]:
    """Make one evaluation of a batch, its hints ready."""
    import torch

    window = bed.size.lattice.paint.window
    x = torch.randn(batch, 4, window, window, device=bed.fit.device)
    images = {
        i: torch.randint(0, 256, (batch, 3, window * LATENT, window * LATENT), dtype=torch.uint8) for i in denoiser.used
    }
    hints: Hints = denoiser.hints(images)

    def run() -> Any:
        return denoiser(x, 0, hints)

    run()
    if not graph:
        return run
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        run()
    torch.cuda.current_stream().wait_stream(aside)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        run()
    return captured.replay


def _speed(what: str, batch: int, seconds: float, flops: float, bed: Bed) -> str:
    rate = flops / seconds
    told = f"{seconds * 1e3:.1f} | {rate:.3g} | {rate / bed.asked.peak:.0%} | {bed.peak():.1f}"
    return f"| {what} | {batch} | {told} |"


def _furthest(one: Any, other: Any) -> float:
    return float((one - other).abs().max())


EXPERIMENTS = {
    "D1": ("how far neighbouring windows disagree", d1),
    "D2": ("which bits depend on the batch", d2),
    "D3": ("error by distance to the edge", d3),
    "D4": ("how far decoded windows disagree", d4),
    "D5": ("seams by number of phases", d5),
    "D6": ("crop conditioning", d6),
    "D7": ("the tiny VAE's code instead of the full one's", d7),
    "D8": ("throughput", d8),
}

if __name__ == "__main__":
    main()
