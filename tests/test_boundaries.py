"""What may import what, and what the command line may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "mapstyle").rglob("*.py"))
HEAVY = ("torch", "diffusers", "transformers", "ray", "geopandas", "cv2", "rasterio", "pyogrio", "numpy")


def test_help_loads_nothing_heavy():
    code = (
        "import sys, runpy\nsys.argv = ['mapstyle', '--help']\n"
        "from mapstyle.cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "render" in told
    assert "LOADED []" in told


def test_help_is_small():
    code = (
        "import sys\nsys.argv = ['mapstyle', '--help']\nfrom mapstyle.cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "print('KIB', [x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')][0])"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of memory is read from /proc, which only Linux has")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told.split("KIB")[1]) < 80 * 1024


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert path.stem not in ("utils", "util", "helpers", "common", "misc")
    told = ast.get_docstring(ast.parse(text))
    assert told
    assert told[0].isupper() or told[0] == "`"


def test_the_directions_of_imports_hold():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_nothing_happens_at_import():
    code = (
        "import sys, pkgutil, importlib, os, pathlib, tempfile\n"
        "here = tempfile.mkdtemp(); os.chdir(here); os.environ['HOME'] = here; os.environ['MAPSTYLE_CACHE'] = here + '/c'\n"
        "import mapstyle\n"
        "for m in pkgutil.walk_packages(mapstyle.__path__, 'mapstyle.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print('LEFT', list(pathlib.Path(here).rglob('*')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "LEFT []" in told.stdout, told.stdout + told.stderr
