"""The documents are true: commands exist, recipes parse, pictures are there."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_exactly_two_set_up_commands_of_one_line():
    blocks = re.findall(r"^## (.+?)\n\n```sh\n(.+?)\n```", README, re.MULTILINE | re.DOTALL)
    assert [b[0] for b in blocks] == ["Run it", "Test it"]
    assert README.count("```sh") == 2
    assert all("\n" not in command for _, command in blocks)


def recipes() -> list[str]:
    block = re.search(r"```\n(mapstyle render .+?)\n```", README, re.DOTALL)
    assert block
    lines = [line.split("  #")[0] for line in block[1].splitlines()]
    return [part.strip() for line in lines for part in line.split("; ") if part.strip()]


@pytest.mark.parametrize("recipe", recipes())
def test_every_recipe_is_one_that_the_program_takes(recipe):
    import subprocess
    import sys

    words = shlex.split(recipe)
    assert words[0] == "mapstyle"
    # A source that is not there is the first thing that can be wrong once the options have been understood.
    told = subprocess.run(
        [sys.executable, "-m", "mapstyle", *words[1:]], capture_output=True, text=True, check=False, cwd="/"
    )
    assert told.returncode != 2, told.stderr
    assert "Traceback" not in told.stderr


def test_every_command_has_help_and_stands_in_the_readme():
    from typer.main import get_command

    from mapstyle.cli.main import app

    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help
        assert f"mapstyle {name}" in README
        for option in command.params:
            assert getattr(option, "help", "x"), f"{name} {option.name}"


def test_every_link_to_a_file_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_file_map_names_what_is_there():
    for path in re.findall(r"^\| `([^`]+)`", README, re.MULTILINE):
        assert (ROOT / path).exists() or (ROOT / path.split("/")[0]).exists(), path


def test_the_top_level_is_as_agreed():
    import subprocess

    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {
        "pyproject.toml",
        "README.md",
        "mapstyle",
        "styles",
        "tests",
        "sample_data",
        "docs",
        "benchmarks",
        "LICENSE",
    }
    assert {t for t in top if not t.startswith(".")} <= allowed
