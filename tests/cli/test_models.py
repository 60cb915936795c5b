"""``mapstyle models`` through the command line, against a Hub on the loopback."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small.hub import Hub, running_hub

from mapstyle.style import packaged

MIB10 = 10 * 1024 * 1024
"""Bytes that huggingface_hub hands over at once."""
LARGE = bytes(22_000_000)
VAE = "madebyollin/sdxl-vae-fp16-fix"


def weights(shapes: Mapping[str, tuple[int, ...]], **metadata: str) -> bytes:
    """Make a .safetensors file whose tensors are all ones."""
    table: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, (rows, columns) in shapes.items():
        table[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [end, end + 4 * rows * columns]}
        end += 4 * rows * columns
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + b"\0\0\x80\x3f" * (end // 4)


ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
LORA = {f"{ATTENTION}.lora_down.weight": (4, 2048), f"{ATTENTION}.lora_up.weight": (640, 4)}


def rows(said: Any) -> list[dict[str, Any]]:
    """Read what a command said as JSON."""
    assert said.code == 0, said.err
    return [json.loads(x) for x in said.out.splitlines()]


@pytest.fixture
def server():
    with running_hub() as running:
        base = {"model_index.json": b"{}", "unet/config.json": b"{}", "unet/diffusion_pytorch_model.bin": b"pickle"}
        base["unet/diffusion_pytorch_model.safetensors"] = b"full" * 999_999
        base["unet/diffusion_pytorch_model.fp16.safetensors"] = b"half" * 500_000
        running.offer("who/base", base, license="openrail++")
        running.offer("who/look", {"look.safetensors": weights(LORA)}, license="cc-by-nc-4.0")
        running.offer(VAE, {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"vae" * 99}, license="mit")
        yield running


@pytest.fixture
def surroundings(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Styles 'blot', which needs a base and a LoRA, and 'plain', which needs no weights; gives the folder of all."""
    ink = (packaged("styles") / "pen-and-ink" / "style.toml").read_text(encoding="utf-8").partition("\n[diffusion")[0]
    diffusion = '\n[diffusion]\nprompt = "blots"\nbase = {source = "who/base"}\nloras = [{source = "who/look"}]\n'
    for name, text in (("blot", ink + diffusion), ("plain", ink)):
        (tmp_path / "styles" / name).mkdir(parents=True)
        (tmp_path / "styles" / name / "style.toml").write_text(text, encoding="utf-8")
    for name in os.environ:
        if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.AGENT_HARNESSES_PATH", str(tmp_path / "agents"))
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MAPSTYLE_STYLES", str(tmp_path / "styles"))
    return tmp_path


@pytest.fixture
def models(cli, surroundings: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The commands, in this process."""

    def call(*arguments: object, offline: bool = False) -> Any:
        # The library looks at its environment when it is imported, which may have been long ago.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        return cli("models", *arguments)

    return call


def test_the_way_of_weights(models, server, tmp_path):
    listed = rows(models("list", "blot", "--json"))
    assert [(r["role"], r["source"], r["state"], r["licence"]) for r in listed] == [
        ("base", "who/base", "missing", ""), ("vae", VAE, "missing", "mit"), ("lora", "who/look", "missing", ""),
    ]  # fmt: skip
    assert not server.asked, "a list needs no network"

    refused = models("pull", "blot")
    assert refused.code == 1
    assert refused.line == "mapstyle: nothing was fetched; to agree, run: mapstyle models pull blot --yes"
    shown = [x for x in refused.err.splitlines() if x.startswith("to fetch")]
    assert "who/base, 2.0 MB, licence openrail++" in shown[0]
    assert "COMMERCIAL" not in shown[0] + shown[1]
    assert "who/look" in shown[2]
    assert "licence cc-by-nc-4.0 (NOT FOR COMMERCIAL USE)" in shown[2]
    assert "together 2.0 MB" in refused.err
    assert not server.ranges()
    assert not (tmp_path / "hf" / "hub").exists()

    pulled = rows(models("pull", "blot", "--yes", "--json"))
    assert len(server.ranges()) == 3
    assert [r["source"] for r in pulled if r.get("non_commercial")] == ["who/look"]
    again = models("pull", "blot", offline=True)
    assert (again.code, again.err.splitlines()[-1]) == (0, "all that blot needs is here")
    listed = rows(models("list", "blot", "--json", offline=True))
    assert [r["state"] for r in listed] == ["here"] * 3
    assert (listed[0]["size"], listed[2]["licence"]) == (2_000_004, "cc-by-nc-4.0")
    told = models("list", "blot").out
    assert told.count("NOT FOR COMMERCIAL USE") == 1
    assert all(str(r["path"]) in told for r in listed)

    good = models("check", "blot", offline=True)
    assert (good.code, [x.split()[0] for x in good.out.splitlines()]) == (0, ["ok"] * 3)
    look = Path(listed[2]["path"])
    stat = look.stat()
    look.write_bytes(look.read_bytes()[:-1] + b"!")
    os.utime(look, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    bad = models("check", offline=True)
    assert bad.code == 1
    assert [x.split()[0] for x in bad.out.splitlines()].count("changed") == 1
    assert "who/look/look.safetensors is not the file it was" in bad.out
    assert bad.line == "mapstyle: 1 of 3 are not what they were; each line above says what mends it"
    stuck = models("pull", "blot", "--yes", offline=True)
    assert stuck.code == 1
    assert "HF_HUB_OFFLINE is set, so nothing can be fetched" in stuck.line
    assert models("pull", "blot", "--yes").code == 0
    assert models("check").code == 0


def test_who_is_asked_can_say_no(models, server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for answer, code in (("n\n", 1), ("y\n", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        said = models("pull", "blot")
        assert said.code == code
        assert "Fetch 2.0 MB, of which some may not be used commercially?" in said.err
        assert bool(server.ranges()) == (code == 0)


def test_what_is_changed_on_the_command_line_is_fetched(models, server):
    server.offer("who/else", {"else.safetensors": weights(LORA)})
    change = 'diffusion.loras=[{source = "who/else"}]'
    refused = models("pull", "blot", "--set", change)
    assert refused.line.endswith(f"mapstyle models pull blot --set '{change}' --yes")
    assert "who/look" not in refused.err
    assert "who/else" in refused.err


def test_an_update_takes_the_newest(models, server):
    assert models("pull", "blot", "--yes", "-q").code == 0
    first = {r["source"]: r["revision"] for r in rows(models("list", "blot", "--json"))}
    newest = server.offer("who/look", {"look.safetensors": weights({"another": (1, 1)})})
    assert models("pull", "blot", "--yes").code == 0
    assert {r["source"]: r["revision"] for r in rows(models("list", "blot", "--json"))} == first
    assert models("pull", "blot", "--yes", "--update").code == 0
    assert {r["source"]: r["revision"] for r in rows(models("list", "blot", "--json"))} == {**first, "who/look": newest}


def test_a_download_that_is_stopped_goes_on(surroundings, server):
    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "mapstyle", "models", "pull", "blot", "--yes"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    server.offer("who/look", {"look.safetensors": LARGE}, license="mit")
    server.hang = 2 * MIB10 + 1
    with start() as process:
        parts = surroundings / "hf" / "hub" / "models--who--look" / "blobs"
        for _ in range(600):
            if any(p.stat().st_size >= 2 * MIB10 for p in parts.glob("*.incomplete")):
                break
            server.hung.wait(0.05)
            server.hung.clear()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "mapstyle: stopped; run the same command again; it goes on where it stopped"
    assert "Traceback" not in err
    server.hang = None
    server.asked.clear()
    with start() as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert server.ranges() == [f"bytes={2 * MIB10}-"]
    assert "who/look, 1.0 MB of 22.0 MB" in err


def test_profiles_add_what_they_need(models, server):
    file = "sdxl_lightning_4step_lora.safetensors"
    server.offer("ByteDance/SDXL-Lightning", {file: weights(LORA), "other.safetensors": b"x"}, license="openrail++")
    assert models("pull", "blot", "--yes", "-q", "--profile", "lightning-4").code == 0
    listed = {(r["source"], r["file"]): r for r in rows(models("list", "blot", "--all-profiles", "--json"))}
    assert listed["ByteDance/SDXL-Lightning", file]["state"] == "here"
    assert listed["ByteDance/SDXL-Lightning", file]["profiles"] == ["draft", "lightning-4"]
    assert listed["ByteDance/Hyper-SD", "Hyper-SDXL-8steps-lora.safetensors"]["state"] == "missing"
    assert ("stabilityai/sdxl-turbo", "") not in listed  # the style has a base of its own, and so has that profile
    assert listed["who/look", ""]["profiles"][0] == "standard"
    unknown = models("pull", "blot", "--profile", "lightning-5")
    assert unknown.code == 1
    assert "Did you mean 'lightning-4'" in unknown.line or "Did you mean 'lightning-8'" in unknown.line


def test_a_style_without_a_model(models):
    assert "plain: painter only, needs no weights" in models("list").out
    pulled = models("pull", "plain")
    assert (pulled.code, pulled.err) == (0, "plain: painter only; there is nothing to fetch\n")
    assert "no style called 'plan'" in models("pull", "plan").line


def test_adding_weights_of_ones_own(models, tmp_path):
    file = tmp_path / "wash.safetensors"
    file.write_bytes(
        weights(
            LORA,
            ss_base_model_version="sdxl_base_v1-0",
            **{"modelspec.trigger_phrase": "wash", "modelspec.license": "mit"},
        )
    )
    added = rows(models("add", file, "--json"))[-1]
    assert (added["kind"], added["licence"], added["trigger"]) == ("lora", "mit", "wash")
    assert added["path"] == 'source = "wash"'
    style = tmp_path / "styles" / "blot" / "style.toml"
    style.write_text(style.read_text().replace("who/look", "wash"))
    assert [r["state"] for r in rows(models("list", "blot", "--json"))] == ["missing", "missing", "here"]
    assert models("check").code == 0
    file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    assert "has changed since it was added as 'wash'" in models("check").out

    wrong = models("add", file, "--sha256", "0" * 64)
    assert wrong.code == 1
    assert "not 000000000000; it is another file" in wrong.line


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.ckpt", b"x", "a pickle"),
        ("b.safetensors", b"x", "is not a .safetensors file"),
        ("c.safetensors", weights(LORA)[:-1], "cut short"),
        ("d.safetensors", weights(LORA, ss_base_model_version="sd_v1"), "made for 'sd_v1'"),
        ("e.safetensors", weights({"cond_stage_model.transformer.x": (1, 1)}), "a Stable Diffusion 1 checkpoint"),
    ],
)
def test_what_cannot_be_used_is_not_added(models, tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    said = models("add", tmp_path / name)
    assert said.code == 1
    assert told in said.line
    assert not (tmp_path / "models" / "added.json").exists()


def test_a_name_that_is_taken_is_not_given_away_silently(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "models"))
    for i, alpha in enumerate(("1", "2")):
        (tmp_path / f"{i}.safetensors").write_bytes(weights(LORA, ss_network_alpha=alpha))
    assert cli("models", "add", tmp_path / "0.safetensors", "--name", "ink").code == 0
    said = cli("models", "add", tmp_path / "1.safetensors", "--name", "ink")
    assert said.code == 1
    assert "is " + str(tmp_path / "0.safetensors") in said.line
    assert cli("models", "add", tmp_path / "1.safetensors", "--name", "ink", "--overwrite").code == 0
    assert "added ink: lora" in cli("models", "list").out.lower()


def test_a_models_folder_that_cannot_be_made_is_one_line(cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MAPSTYLE_MODELS", str(tmp_path / "file" / "models"))
    (tmp_path / "a.safetensors").write_bytes(weights(LORA))
    said = cli("models", "add", tmp_path / "a.safetensors")
    assert said.code == 1
    assert "MAPSTYLE_MODELS" in said.line
