"""Fetch weights from the Hugging Face Hub: say what it costs first, go on where it stopped, check what came."""

import errno
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mapstyle.engines.diffusion import hub
from mapstyle.engines.diffusion.registry import ChangedWeightsError, Locked, LockedFile, Registry
from mapstyle.engines.diffusion.settings import Weights
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

SPARE = 64_000_000
"""Bytes that stay free on the disk."""
AGAIN = "run the same command again; it goes on where it stopped"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Offered:
    """A file that a repository offers.

    Attributes:
        name: in the repository.
        size: in bytes.
        sha256: as the Hub states it; empty for small files, of which it states none.
        expected: as the Hub or the lock states it; empty when neither does.
        missing: bytes that have to come still, less what an earlier, interrupted run left.
    """

    name: str
    size: int
    sha256: str
    expected: str
    missing: int


@dataclass(frozen=True)
class Offer:
    """What one reference of a style comes to on the Hub, before anything is fetched.

    Attributes:
        ref: as the style has it.
        commit: at which the files are taken.
        licence: as the repository's card states it, else the style; may be empty.
        link: where the licence can be read, or empty.
        main: the one file of weights, or empty when the whole folder is loaded.
        files: all that are needed.
    """

    ref: Weights
    commit: str
    licence: str
    link: str
    main: str
    files: tuple[Offered, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> int:
        """Bytes that have to come still."""
        return sum(file.missing for file in self.files)

    @property
    def non_commercial(self) -> bool:
        """Whether the licence's name forbids commercial use."""
        return hub.is_non_commercial(self.licence)


def make_offer(registry: Registry, ref: Weights, update: bool = False) -> Offer:
    """Ask the Hub what a reference comes to; nothing is fetched.

    Args:
        registry: whose lock decides the commit, once there is one.
        ref: a reference to a repository on the Hub.
        update: take the newest commit instead of the locked one.

    Raises:
        EngineError: the Hub cannot be reached, or has not what the style asks for.
    """
    locked = None if update else registry.lock_for(ref)
    wanted = locked.revision if locked is not None else ref.revision
    with _plain_errors(ref.source, wanted, "nothing was fetched; run the same command again"):
        info = _api().model_info(ref.source, revision=wanted or None, files_metadata=True, timeout=30)
    commit = str(info.sha)
    if not hub.is_commit(commit) or (hub.is_commit(wanted) and commit != wanted):
        raise EngineError(f"{ref.source}: the Hub answered with another revision than was asked for; {AGAIN}")
    told = {s.rfilename: s for s in info.siblings or []}
    root = hub.snapshot(ref.source, commit)
    choice = hub.choose(ref.source, told, ref.file, {n for n in told if (root / n).is_file()})
    files = []
    for name in choice.files:
        size, stated = told[name].size, str(getattr(told[name].lfs, "sha256", "") or "")
        if size is None:
            raise EngineError(f"{ref.source}/{name}: the Hub does not say how large it is; {AGAIN}")
        sha256 = stated if re.fullmatch(r"[0-9a-f]{64}", stated) else ""
        known = locked.files.get(name) if locked is not None else None
        if known is not None and sha256 and known.sha256 != sha256:
            raise ChangedWeightsError(
                f"{ref.source}/{name}: the Hub now offers another file (SHA-256 {sha256[:12]}) under the locked "
                f"revision, which had {known.sha256[:12]}; take it only if you trust it: mapstyle models pull --update"
            )
        if name == choice.main and ref.sha256 and sha256 and ref.sha256 != sha256:
            raise ChangedWeightsError(
                f"{ref.source}/{name}: the Hub has SHA-256 {sha256[:12]}, the style asks for {ref.sha256[:12]}; "
                "correct 'sha256' or 'revision' in the style"
            )
        expected = sha256 or (known.sha256 if known is not None else "")
        here = _is_here(registry, root / name, size, expected)
        if sha256 and not here:
            here = _is_here(registry, _blob(ref.source, sha256), size, sha256)
        kept = _part(ref.source, sha256)
        have = kept.stat().st_size if sha256 and kept.is_file() else 0
        files.append(Offered(name, size, sha256, expected, 0 if here else max(size - have, 0)))
    licence, link = _licence(info)
    return Offer(ref, commit, licence or ref.licence, link, choice.main, tuple(files))


def check_room(offers: Sequence[Offer]) -> None:
    """Refuse to begin when the disk has too little room for all that is missing."""
    needed = sum(offer.missing for offer in offers)
    folder = standing = hub.cache_folder()
    while not standing.exists():
        standing = standing.parent
    free = shutil.disk_usage(standing).free
    if needed and needed + SPARE > free:
        raise EngineError(
            f"{folder}: {told_size(needed)} are needed and {told_size(free)} are free; nothing was fetched: "
            "make room, or set HF_HOME to a folder on a larger disk"
        )


def fetch(registry: Registry, offer: Offer, progress: Progress = lambda _: None) -> Locked:
    """Fetch what is missing, check what came and write it into the lock.

    Raises:
        EngineError: the download stopped (what came is kept and used by the next run), or what came is not what
            the Hub promised.
    """
    source = offer.ref.source
    root = hub.snapshot(source, offer.commit)
    came = {}
    with _plain_errors(source, offer.commit, AGAIN), _quiet_hub():
        for file in offer.files:
            if file.missing and not _is_here(registry, root / file.name, file.size, file.expected):
                _remove(root / file.name, bool(file.sha256))
            if not (root / file.name).is_file():
                _fetch_one(registry, offer, file, progress)
            digests = registry.hashes.of(root / file.name)
            if file.sha256 and digests.sha256 != file.sha256:
                _remove(root / file.name, False)
                raise EngineError(f"{source}/{file.name}: what came is damaged and was deleted; {AGAIN}")
            came[file.name] = LockedFile(sha256=digests.sha256, size=file.size)
    known = registry.lock_for(offer.ref)
    if known is not None and known.revision == offer.commit:
        for name, now in came.items():
            if name in known.files and known.files[name].sha256 != now.sha256:
                raise ChangedWeightsError(
                    f"{source}/{name} came with SHA-256 {now.sha256[:12]}, the lock says "
                    f"{known.files[name].sha256[:12]}; take it only if you trust it: mapstyle models pull --update"
                )
    lock = Locked(
        source=source,
        file=offer.ref.file,
        asked=offer.ref.revision,
        revision=offer.commit,
        licence=offer.licence,
        main=offer.main,
        files=came,
    )
    from huggingface_hub.utils import WeakFileLock

    registry.folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(registry.folder / ".lock"):
        registry.remember(lock)
    return lock


def told_size(size: float) -> str:
    """Say a number of bytes as people do: ``7.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _fetch_one(registry: Registry, offer: Offer, file: Offered, progress: Progress) -> None:
    """Bring one file into the Hub's cache, where all programs find it.

    The library's own download begins a file again when the program was stopped; so large files go through its
    ``http_get``, which can continue, into the place where its cache looks for them.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import WeakFileLock

    source = offer.ref.source
    if file.sha256:
        blob = _blob(source, file.sha256)
        lock = hub.cache_folder() / ".locks" / blob.parent.parent.name / f"{file.sha256}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if not _is_here(registry, blob, file.size, file.sha256):
                blob.unlink(missing_ok=True)
                _continue(offer, file, blob, progress)
    path = hf_hub_download(
        source,
        file.name,
        revision=offer.commit,
        cache_dir=hub.cache_folder(),
        endpoint=_endpoint(),
        library_name="mapstyle",
    )
    if not file.sha256:
        progress(Path(path).stat().st_size)


def _continue(offer: Offer, file: Offered, blob: Path, progress: Progress) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    from mapstyle.engines.diffusion.hashes import digest_file

    part = _part(offer.ref.source, file.sha256)
    if part.is_file() and part.stat().st_size > file.size:
        part.unlink()
    url = hf_hub_url(offer.ref.source, file.name, revision=offer.commit, endpoint=_endpoint())
    headers = {**build_hf_headers(library_name="mapstyle"), "Accept-Encoding": "identity"}
    try:
        with part.open("ab") as out:
            have = out.tell()
            http_get(url, _Counted(out, progress), resume_size=have, headers=headers, expected_size=file.size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            part.unlink(missing_ok=True)
        raise
    if digest_file(part).sha256 != file.sha256:
        part.unlink()
        raise EngineError(f"{offer.ref.source}/{file.name}: what came is damaged and was deleted; {AGAIN}")
    part.replace(blob)


class _Counted:
    """A file that tells how much is written to it."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self.seek, self.tell = file.seek, file.tell

    def write(self, chunk: bytes) -> int:
        self._progress(len(chunk))
        return self._file.write(chunk)

    def truncate(self) -> int:
        return self._file.truncate(self._file.tell())


def _is_here(registry: Registry, path: Path, size: int, sha256: str) -> bool:
    with suppress(OSError):
        return path.stat().st_size == size and (not sha256 or registry.hashes.of(path).sha256 == sha256)
    return False


def _remove(pointer: Path, alone: bool) -> None:
    """Remove a file of a snapshot and, if not ``alone``, what it points at in the cache."""
    real = Path(os.path.realpath(pointer))
    if not alone and real != pointer and real.parent.name == "blobs":
        real.unlink(missing_ok=True)
    pointer.unlink(missing_ok=True)


def _blob(source: str, sha256: str) -> Path:
    return hub.repository_folder(source) / "blobs" / sha256


def _part(source: str, sha256: str) -> Path:
    return hub.repository_folder(source) / "blobs" / f"{sha256}.mapstyle.incomplete"


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _api() -> Any:
    try:
        from huggingface_hub import HfApi, constants
    except ImportError:
        raise EngineError("huggingface_hub is not installed; run: pip install 'mapstyle[sdxl]'") from None
    if constants.HF_HUB_OFFLINE:
        raise EngineError("HF_HUB_OFFLINE is set, so nothing can be fetched; unset it and run the same command again")
    return HfApi(endpoint=_endpoint(), library_name="mapstyle")


def _licence(info: "ModelInfo") -> tuple[str, str]:
    """Give the name of a licence and where it can be read, from a repository's card."""
    card = info.card_data.to_dict() if info.card_data is not None else {}
    name = card.get("license")
    if name == "other" and card.get("license_name"):
        name = card["license_name"]
    if not name:
        name = next((t.removeprefix("license:") for t in info.tags or [] if t.startswith("license:")), "")
    link = card.get("license_link")
    return _printable(name), _printable(link) if str(link).startswith("https://") else ""


def _printable(text: Any) -> str:
    """Cut a stranger's text down to what may stand in a line."""
    return "".join(c for c in str(text or "") if c.isprintable())[:120]


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the library from talking: progress and errors are said by the command line."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    level, silent = logger.level, are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if not silent:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not silent:
            enable_progress_bars()


@contextmanager
def _plain_errors(source: str, revision: str, cure: str) -> Iterator[None]:
    """Turn what the library raises into one line."""
    try:
        yield
    except (EngineError, ImportError):
        raise
    except Exception as error:
        from huggingface_hub import errors

        if isinstance(error, errors.GatedRepoError):
            told = (
                f"{source} asks you to accept its terms: do so on its page, log in with: hf auth login, and pull again"
            )
        elif isinstance(error, errors.RepositoryNotFoundError):
            told = f"the Hub has no repository called {source}, or it is private; correct 'source' in the style"
        elif isinstance(error, errors.RevisionNotFoundError):
            told = (
                f"{source} has no revision {revision} any more; correct 'revision' in the style, or take the newest "
                "with: mapstyle models pull --update"
            )
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            told = "the disk is full; make room and run the same command again: files that are finished are kept"
        elif isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("httpx"):
            first = str(error).strip().splitlines() or [""]
            told = f"{source}: the connection failed ({type(error).__name__}: {_printable(first[0])}); {cure}"
        else:
            raise
        raise EngineError(told) from error
