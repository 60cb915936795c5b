"""A command line in this process, with a cache of its own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mapstyle.cli.main import run
from mapstyle.style import packaged


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error."""
        lines = [x for x in self.err.splitlines() if x.startswith("mapstyle: ")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def cli(monkeypatch, capfd, kept) -> Callable[..., Said]:
    monkeypatch.setenv("MAPSTYLE_CACHE", str(kept))

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["mapstyle", *(str(a) for a in arguments)])
        capfd.readouterr()
        code = 0
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def town() -> str:
    return str(packaged("sample_data") / "doggerhaven.gpkg")


@pytest.fixture
def heights() -> str:
    return str(packaged("sample_data") / "doggerhaven-elevation.tif")


@pytest.fixture(scope="session")
def small_zoo(tmp_path_factory):
    """Small real models, and torch ready to run them the same way every time."""
    import torch
    from small.operators import declare_missing_operators
    from small.zoo import make_zoo

    declare_missing_operators()
    torch.set_num_threads(1)
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def small_style(small_zoo, tmp_path_factory, monkeypatch) -> Callable[..., str]:
    """Write a style that the small models paint; gives the path of its folder."""
    from small.style import write_style

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path_factory.getbasetemp() / "models"))

    def write(**changes: object) -> str:
        return str(write_style(tmp_path_factory.mktemp("style"), small_zoo, **changes))

    return write
