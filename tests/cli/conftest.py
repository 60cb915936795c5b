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
