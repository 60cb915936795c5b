"""Every style's diffusion section loads, resolves and keeps its promises; docs/diffusion.md says what is so."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from mapstyle.controls import CONTROLS
from mapstyle.engines.diffusion import hub
from mapstyle.engines.diffusion.denoiser import is_on
from mapstyle.engines.diffusion.lattice import Lattices
from mapstyle.engines.diffusion.profiles import PROFILES, resolve
from mapstyle.engines.diffusion.registry import needed
from mapstyle.engines.diffusion.settings import Diffusion
from mapstyle.errors import StyleError
from mapstyle.frame import Frame, Grid
from mapstyle.style import FILE, PICTURES, load_style, packaged

ROOT = Path(__file__).resolve().parent.parent
STYLES = sorted(folder.parent.name for folder in packaged("styles").glob(f"*/{FILE}"))
PAGE = (ROOT / "docs" / "diffusion.md").read_text(encoding="utf-8")
TOKENS = 77
"""What CLIP reads, start and end among them."""
WRITING = re.compile(
    r"\b(text|letter|label|word|name|number|title|caption|legend|sign)s?\b|\b(typograph|letter|writ)", re.I
)
"""Words that make a model write."""
THINGS = re.compile(
    r"\b(town|city|cities|village|castle|church|tower|harbou?r|boat|ship|people|person|car|tree|house|street)s?\b", re.I
)
"""Things that would stand in every window, since all get the same prompt."""


def section(name: str) -> Diffusion:
    text = (packaged("styles") / name / FILE).read_text(encoding="utf-8")
    return Diffusion.model_validate(tomllib.loads(text)["diffusion"])


def spoken(settings: Diffusion) -> str:
    """Give the prompt with its trigger words."""
    return ", ".join([*(lora.trigger for lora in settings.loras if lora.trigger), settings.prompt])


def most_tokens(text: str) -> int:
    """Count more tokens than CLIP makes of English: five letters each, digits and marks by themselves, start, end."""
    return 2 + len(re.findall(r"[^\W\d_]{1,5}|\d|[^\w\s]|_", text))


def test_every_style_has_a_section():
    assert {"watercolour", "pen-and-ink", "model-railway"} <= set(STYLES)
    for name in STYLES:
        assert load_style(name).diffusion == section(name)


@pytest.mark.parametrize("name", STYLES)
def test_a_section_loads_strictly(name):
    section(name)
    for key in ("strenght", "lattice.decod", "nets.union.sorce"):
        with pytest.raises(StyleError, match=key.rsplit(".", 1)[-1]):
            load_style(name, [f"diffusion.{key}=1"])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", STYLES)
def test_a_section_goes_with_every_profile_and_every_control_guides_there(name, profile):
    settings = section(name).model_copy(update={"profile": profile})
    plan = resolve(settings)
    assert 2 <= plan.executed <= plan.steps
    assert sum(map(len, plan.phases)) == plan.executed
    for control in settings.controls:
        on = [is_on(control, step, plan.executed) for step in range(plan.executed)]
        assert any(on), control.image
        # The last step is the surface's.
        assert not on[-1], control.image


@pytest.mark.parametrize("name", STYLES)
def test_controls_are_drawn_by_us_and_read_by_a_mode_that_knows_them(name):
    settings = section(name)
    modes = {"edges": "thin-line", "segmentation": "segment", "depth": "depth", "painter": "tile"}
    assert {"edges", "segmentation"} <= {control.image for control in settings.controls}
    for control in settings.controls:
        assert control.image in {*CONTROLS, *PICTURES}
        assert control.mode == modes[control.image]
    assert {control.net for control in settings.controls} == set(settings.nets)


@pytest.mark.parametrize("name", STYLES)
def test_weights_have_licences_that_allow_commerce_and_no_invented_commits_or_hashes(name):
    settings = section(name)
    for role, ref in needed(settings, resolve(settings)):
        assert ref.licence, f"{role} {ref.source}"
        assert not hub.is_non_commercial(ref.licence), f"{role} {ref.source}"
        assert (ref.revision, ref.sha256, ref.civitai) == ("", "", None), f"{role} {ref.source}"
        assert hub.is_hub_id(ref.source)
        if ref.file:
            hub.refuse_pickle(ref.file)
    # The rule does tell them apart.
    assert PROFILES["turbo-4"].base is not None
    assert hub.is_non_commercial(PROFILES["turbo-4"].base.licence)


@pytest.mark.parametrize("name", STYLES)
def test_prompts_are_read_whole_and_name_a_look_only(name):
    settings = section(name)
    for text in (spoken(settings), settings.negative):
        assert text.isascii()
        assert most_tokens(text) <= TOKENS
    assert not WRITING.search(spoken(settings))
    assert not THINGS.search(spoken(settings))
    assert {"text", "letters", "watermark", "frame"} <= set(settings.negative.split(", "))
    # The rules do catch what they are for.
    assert WRITING.search("a map with labels")
    assert THINGS.search("a harbour town")


def test_the_count_of_tokens_is_never_below_clips_own(tmp_path):
    from transformers import CLIPTokenizer

    from mapstyle.engines.diffusion.vocabulary import write_configs

    clip = CLIPTokenizer.from_pretrained(write_configs(tmp_path / "configs") / "tokenizer")
    for settings in map(section, STYLES):
        for text in (spoken(settings), settings.negative):
            assert 20 < len(clip(text).input_ids) <= most_tokens(text)


def rows(header: str) -> list[list[str]]:
    """Give the cells of the page's table that begins with a header."""
    block = PAGE.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("| ").split("|")] for line in block]


def page_plan(profile: str, phases: int | None = None):
    return resolve(Diffusion(prompt="a look", strength=0.75, profile=profile, phases=phases))


def test_the_page_lists_the_profiles_as_they_are():
    table = rows("profile | steps | sampler | guidance | steps run | phases | what it is")
    assert {row[0] for row in table} == set(PROFILES)
    for name, steps, sampler, guidance, run, phases, told in table:
        plan = page_plan(name)
        assert (int(steps), sampler, int(run), int(phases)) == (
            plan.steps,
            plan.sampler,
            plan.executed,
            len(plan.phases),
        )
        assert guidance == ("none" if plan.cfg == 1 else f"{plan.cfg:g}")
        licences = [ref.licence for ref in (plan.base, *plan.loras)]
        assert any(map(hub.is_non_commercial, licences)) == ("not for commercial use" in told)
        assert all(licences) == ("states no licence" not in told)


def test_the_page_tells_the_overhead_as_it_is():
    sizes = [int(size) for size in re.findall(r"(\d+) px", PAGE.split("| profile | phases |", 1)[1].split("\n", 1)[0])]
    assert len(sizes) == 6
    grid = Grid.web_mercator(16)
    for name, phases, *told in rows("profile | phases | 2048 px | 4096 px | 8192 px | 16384 px | 32768 px | 81920 px"):
        plan = page_plan(name, int(phases))
        assert len(plan.phases) == int(phases)
        counted = [Lattices(plan, grid).overhead(Frame(grid, 8_500_000, 5_600_000, s, s)) for s in sizes]
        assert [f"{value:.1f}" for value in counted] == told, name


def test_the_page_tells_the_looks_as_they_are():
    table = rows("style | LoRA | strength | why")
    assert {row[0] for row in table} == set(STYLES)
    for name, lora, strength, _ in table:
        settings = section(name)
        assert float(strength) == settings.strength
        assert [lora.split("`")[0]] == [ref.source for ref in settings.loras] or (lora, settings.loras) == ("none", ())
        for ref in settings.loras:
            assert f"{ref.weight:g}" in lora
    assert all(net.source in PAGE for name in STYLES for net in section(name).nets.values())


def commands() -> list[str]:
    blocks = re.findall(r"^```\n(.+?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"^([A-Z_]+=\S+ )+", "", line).split("  #")[0].strip() for b in blocks for line in b.splitlines()]
    return [line for line in lines if line.startswith("mapstyle ")]


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_page_is_one_that_the_program_takes(command, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from mapstyle.cli.main import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = shlex.split(command)[1:]
    # No file it names is there, which is the first thing that can be wrong once the options have been understood.
    assert CliRunner().invoke(app, words).exit_code != 2
    assert CliRunner().invoke(app, [*words, "--no-such-option"]).exit_code == 2
    changes = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    changed = load_style("watercolour", changes).diffusion
    assert changed is not None
    resolve(changed)
    assert not changes or changed != load_style("watercolour").diffusion


def test_the_page_has_commands():
    assert len(commands()) > 10
