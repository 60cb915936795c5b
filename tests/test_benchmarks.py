"""The benchmarks run: small, on any CPU, those of diffusion with networks that are real all the same."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from small.operators import declare_missing_operators
from small.zoo import make_zoo

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """Run a script of the folder and give what it prints."""
    declare_missing_operators()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))

    def run(script: str, *options: str) -> str:
        monkeypatch.setattr(sys, "argv", [script, "--small", "--device", "cpu", *options])
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_diffusion_beside_stock(bench):
    told = bench("diffusion.py", "--side", "48", "--repeats", "1", "--profiles", "lightning-4")
    row = next(line for line in told.splitlines() if line.startswith("| lightning-4"))
    stock, ours, large, *_ = (float(cell) for cell in row.split("|")[2:5])
    assert min(stock, ours, large) > 0
    note = re.search(r"(\d+) windows, (\d+) decoded, 0 retried; (\d+) evaluations, .*, ([\d.]+) x in a large job", told)
    windows, decoded, evaluations = (int(number) for number in note.groups()[:3])
    assert evaluations == windows > 9 * decoded > 0, "three phases of one step each, without guidance"
    assert 1 < float(note[4]) <= 2, "evaluations of a large job, of those of windows without margins"


def test_experiments_on_real_files(bench, tmp_path):
    zoo = make_zoo(tmp_path)
    told = bench(
        "experiments.py", "--only", "D2", "--quick", "--batches", "1,2", "--base", str(zoo.quick), "--net", str(zoo.quick_union)
    )  # fmt: skip
    assert "real weights" in told
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| ")]
    rows = {(name, batch): numbers for name, batch, *numbers in lines[1:]}
    assert len(rows) == 10
    stock = rows.pop(("net as diffusers has it", "2"))
    assert not 0.0 <= float(stock[1]) <= 0.0, "the stock net mixes its batch, so that the comparison can fail"
    for row in rows.values():
        assert [float(cell) for cell in row[:3]] == [0.0, 0.0, 0.0]


def test_what_a_pyramid_costs(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["tiles.py", "--quick", "--only", "planning,shrunk"])
    runpy.run_path(str(BENCHMARKS / "tiles.py"), run_name="__main__")
    *_, told = capsys.readouterr().out.split("\n\n")
    rows = [line.split() for line in told.splitlines()]
    assert [row[0] for row in rows] == ["planning"] * 4 + ["shrunk"]
    assert {row[-1] for row in rows} <= {"kept", "MISSED"}
