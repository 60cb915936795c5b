"""A style that is painted by the small models."""

from pathlib import Path

from small.zoo import Zoo

SECTION = """
[diffusion]
prompt = "a map painted by hand"
strength = {strength}
profile = "standard"
steps = {steps}
phases = 2
cfg = {cfg}
sampler = "{sampler}"
original_size = 128

[diffusion.base]
source = "{base}"

[diffusion.vae]
source = "{vae}"

[diffusion.nets.union]
source = "{union}"
kind = "union"

[[diffusion.controls]]
image = "edges"
net = "union"
mode = "thin-line"
scale = 0.8

[[diffusion.controls]]
image = "segmentation"
net = "union"
mode = "segment"
scale = 0.6
end = 0.7

[diffusion.lattice]
paint = {{ window = 16, stride = 12, guard = 1, ramp = 2 }}
decode = {{ window = 24, stride = 16, guard = 2, ramp = 4 }}
"""


def write_style(
    folder: Path, zoo: Zoo, name: str = "small", like: str = "watercolour", more: str = "", **changes
) -> Path:
    """Write a style folder: the painter's recipe of a packaged style, and diffusion by the small quick models."""
    from mapstyle.style import packaged

    own = (packaged("styles") / like / "style.toml").read_text(encoding="utf-8")
    kept = own.partition("[diffusion]")[0]
    values = {"strength": 0.75, "steps": 4, "cfg": 2.0, "sampler": "euler", "base": zoo.quick, "vae": zoo.vae,
              "union": zoo.quick_union, **changes}  # fmt: skip
    (folder / name).mkdir(parents=True)
    (folder / name / "style.toml").write_text(kept + SECTION.format(**values) + more, encoding="utf-8")
    return folder / name
