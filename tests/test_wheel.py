"""What is published is whole: the wheel, in an empty environment, runs the demo from another folder."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_runs_the_demo_from_another_folder(tmp_path):
    def pip(*arguments: object) -> None:
        subprocess.run([sys.executable, "-m", "pip", "-q", *map(str, arguments)], check=True, cwd=tmp_path)

    pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist", ROOT)
    wheel = next((tmp_path / "dist").glob("mapstyle-*.whl"))
    room = tmp_path / "room"
    venv.create(room, with_pip=False)
    # Dependencies are those of this environment; the package itself comes from the wheel and nowhere else.
    site = next(room.glob("lib/python*/site-packages"))
    here = Path(next(p for p in sys.path if p.endswith("site-packages")))
    for entry in here.iterdir():
        if "mapstyle" not in entry.name.lower() and not entry.name.endswith(".pth"):
            (site / entry.name).symlink_to(entry)
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAPSTYLE"))}
    done = subprocess.run(
        [room / "bin" / "python", "-m", "mapstyle", "demo"], cwd=elsewhere, capture_output=True, text=True,
        env={**clean, "MAPSTYLE_CACHE": str(tmp_path / "cache")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "mapstyle-demo" / "index.html").is_file()
    origin = subprocess.run(
        [room / "bin" / "python", "-c", "import mapstyle; print(mapstyle.__file__)"], cwd=elsewhere,
        capture_output=True, text=True, env=clean, check=True,
    )  # fmt: skip
    assert str(room) in origin.stdout
