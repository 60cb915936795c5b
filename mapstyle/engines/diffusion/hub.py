"""The Hugging Face Hub as files: where its cache is, which files of a repository are needed, what licences mean."""

import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from mapstyle.errors import EngineError

COMPONENTS = ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae")
"""Folders of an SDXL model in the layout of diffusers."""
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl", ".pickle")
"""Suffixes of files that run code when they are loaded."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TEXT = re.compile(r"[\w.-]+\.(json|txt)")
_WEIGHTS = re.compile(r"(?:model|diffusion_pytorch_model)(?:\.(fp16|bf16))?(-\d+-of-\d+)?\.safetensors")
_INDEX = re.compile(r"[\w.-]+\.safetensors\.index(?:\.(fp16|bf16))?\.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NON_COMMERCIAL = re.compile(r"(^|[^a-z])(nc|non-?commercial|research)([^a-z]|$)")


def is_hub_id(source: str) -> bool:
    """Tell whether a source can be a repository's name on the Hub."""
    return _ID.fullmatch(source) is not None and not source.endswith((".safetensors", *PICKLES)) and ".." not in source


def is_commit(revision: str) -> bool:
    """Tell whether a revision is a whole commit, which never changes, rather than a branch."""
    return _COMMIT.fullmatch(revision) is not None


def cache_folder() -> Path:
    """Give the cache that all programs using the Hub share, as its own documentation sets it out."""
    for name, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if given := os.environ.get(name):
            return Path(os.path.expandvars(given)).expanduser() / below
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(home)).expanduser() / "huggingface" / "hub"


def repository_folder(source: str) -> Path:
    """Give the folder of a repository in the cache."""
    return cache_folder() / f"models--{source.replace('/', '--')}"


def snapshot(source: str, commit: str) -> Path:
    """Give the folder in which a repository's files lie as they were at a commit."""
    return repository_folder(source) / "snapshots" / commit


@dataclass(frozen=True)
class Choice:
    """What is used of a repository or folder.

    Attributes:
        main: the one file of weights, or empty when the whole folder is loaded.
        files: everything that is needed, sorted, with ``/`` between folders.
    """

    main: str
    files: tuple[str, ...]


def choose(source: str, names: Iterable[str], file: str = "", here: Container[str] = ()) -> Choice:
    """Choose the files that are needed, never a pickle.

    Where a model comes in several precisions, the loader takes the full one if it is here; what has to be fetched
    first is better fetched at half the size.

    Args:
        source: whose files these are, for messages.
        names: of all files, with ``/`` between folders.
        file: the one that is wanted; empty is the whole folder or the only file.
        here: names of those that are on this machine.
    """
    known = sorted(n for n in set(names) if _is_plain(n))
    if file:
        refuse_pickle(file)
        if file not in known:
            some = ", ".join(n for n in known if n.endswith(".safetensors")) or "none"
            raise EngineError(f"{source} has no file {file!r}; its .safetensors files: {_short(some)}")
        return Choice(file, tuple(sorted({file, *_config_of(file, known)})))
    if "model_index.json" in known:
        picked = ["model_index.json"]
        for part in COMPONENTS:
            inside = [n for n in known if n.startswith(f"{part}/") and n.count("/") == 1]
            picked += _component(inside, here)
        if not any(n.startswith("unet/") and n.endswith(".safetensors") for n in picked):
            raise EngineError(f"{source} has no .safetensors of the UNet; weights in other formats are not loaded")
        return Choice("", tuple(sorted(picked)))
    root = [n for n in known if "/" not in n]
    if "config.json" in root and any(_WEIGHTS.fullmatch(n) for n in root):
        kept = [
            n for n in _component(root, here) if not _TEXT.fullmatch(n) or _INDEX.fullmatch(n) or n == "config.json"
        ]
        return Choice("", tuple(sorted(kept)))
    lone = [n for n in known if n.endswith(".safetensors")]
    if len(lone) == 1:
        return Choice(lone[0], tuple(sorted({lone[0], *_config_of(lone[0], known)})))
    if lone:
        raise EngineError(f"{source} has several files; say which, as in file = '{lone[0]}': {_short(', '.join(lone))}")
    raise EngineError(f"{source} has no .safetensors file; weights in other formats are not loaded")


def refuse_pickle(name: str) -> None:
    """Refuse a file that is not ``.safetensors``, by its name."""
    if name.lower().endswith(PICKLES):
        raise EngineError(f"{name} is a pickle, which can run any code when it is loaded; use a .safetensors file")
    if not name.endswith(".safetensors"):
        raise EngineError(f"{name} is no .safetensors file, the only kind of weights that is loaded")


def is_non_commercial(licence: str) -> bool:
    """Tell whether a licence's name says that it forbids commercial use."""
    return _NON_COMMERCIAL.search(licence.lower()) is not None


def _component(names: list[str], here: Container[str]) -> list[str]:
    """Choose among the files of one folder."""
    weights: dict[str, list[str]] = {"": [], "fp16": [], "bf16": []}
    index: dict[str, list[str]] = {"": [], "fp16": [], "bf16": []}
    text = []
    for name in names:
        last = name.rsplit("/", 1)[-1]
        if found := _WEIGHTS.fullmatch(last):
            weights[found[1] or ""].append(name)
        elif found := _INDEX.fullmatch(last):
            index[found[1] or ""].append(name)
        elif _TEXT.fullmatch(last):
            text.append(name)
    ready = (v for v in weights if weights[v] and all(n in here for n in weights[v]))
    best = next((v for v in (*ready, "fp16", "bf16", "") if weights[v]), "")
    whole = [n for n in weights[best] if "-of-" not in n]
    return [*text, *(whole or [*weights[best], *index[best]])]


def _config_of(file: str, names: list[str]) -> list[str]:
    """Give the configs beside a file: ``config.json``, and ``config_x.json`` for ``diffusion_pytorch_model_x``."""
    folder, _, name = file.rpartition("/")
    ending = name.removesuffix(".safetensors").removeprefix("diffusion_pytorch_model")
    wanted = {"config.json", f"config{ending}.json"}
    return [n for n in names if n.rpartition("/")[0] == folder and n.rpartition("/")[2] in wanted]


def _is_plain(name: str) -> bool:
    """Tell whether a name stays below its folder and is not hidden."""
    return not any(not part or part.startswith(".") for part in name.split("/")) and "\\" not in name


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]} ..."
