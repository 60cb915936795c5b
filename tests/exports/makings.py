"""Ways of making, for tests of what files say."""

from mapstyle.making import Making, WeightUsed


def weight(role: str, name: str, number: int, **more) -> WeightUsed:
    sha = f"{number:064x}"[::-1]
    return WeightUsed(role, name, sha, sha[:10], **more)


MAKING = Making(
    prompt="papercut, top-down map of a coastal town: “Häfen” 港",
    negative="text, letters, blurry",
    sampler="Euler",
    schedule="SGM Uniform",
    steps=8,
    evaluated=6,
    cfg=1.0,
    strength=0.75,
    seed=1234567,
    weights=(
        weight("base", "sd_xl_base_1.0", 0xA1, licence="openrail++"),
        weight("vae", "sdxl-vae-fp16-fix", 0xB2, licence="mit"),
        weight("controlnet", "controlnet-union-sdxl-promax", 0xC3, weight=0.8),
        weight("lora", "papercut", 0xD4, autov3="5ff77b835aaa", weight=0.8, civitai=456),
        weight("lora", "too much detail", 0xE5, autov3="0011223344ff", weight=-0.4, civitai=777),
        weight("lora", "mine-alone", 0xF6, autov3="99887766aabb", weight=-0.25),
    ),
    controls=(
        {"image": "edges", "net": "union", "mode": "thin-line", "scale": 0.8, "start": 0.0, "end": 0.6},
        {"image": "segmentation", "net": "union", "mode": "segment", "scale": 0.6, "start": 0.0, "end": 1.0},
    ),
    lattice={"paint": {"window": 128, "stride": 96}, "phases": 3},
    device={"name": "cpu", "dtype": "float32", "threads": "1"},
    identity="0123456789abcdef",
)
