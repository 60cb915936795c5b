"""Fetching from a real HTTP server that speaks the Hub's language: checked, continued, refused in one line."""

import collections
import errno
import hashlib
import json
import shutil
import threading

import pytest
from small.hub import running_hub

from mapstyle.engines.diffusion import hub, pull
from mapstyle.engines.diffusion.registry import ChangedWeightsError, MissingWeightsError, Registry
from mapstyle.engines.diffusion.settings import Weights
from mapstyle.errors import EngineError

CHUNK = 10_000
"""Bytes that huggingface_hub hands over at once in these tests; 10 MB otherwise."""
LARGE = bytes(range(256)) * 200
NET = {"config.json": b"{}", "diffusion_pytorch_model.safetensors": LARGE, "diffusion_pytorch_model.bin": b"pickle"}
REF = Weights(source="who/net", licence="as the style has it")


@pytest.fixture
def server(tmp_path, monkeypatch):
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.AGENT_HARNESSES_PATH", str(tmp_path / "agents"))
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        yield running


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def take(registry, ref=REF, **options):
    return pull.fetch(registry, pull.make_offer(registry, ref), **options)


def test_the_offer_is_known_before_anything_is_fetched(server, registry, tmp_path):
    commit = server.offer("who/net", NET, license="other", license_name="sai-nc-community", license_link="https://x/y")
    offer = pull.make_offer(registry, REF)
    assert (offer.commit, offer.licence, offer.link, offer.non_commercial) == (
        commit, "sai-nc-community", "https://x/y", True,
    )  # fmt: skip
    assert [f.name for f in offer.files] == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert offer.size == offer.missing == len(LARGE) + 2
    assert not (tmp_path / "hub").exists()
    assert [path for _, path, _ in server.asked if "/agent-" not in path] == ["/api/models/who/net"]
    server.offer("who/free", NET, license="apache-2.0")
    free = pull.make_offer(registry, Weights(source="who/free"))
    assert (free.licence, free.non_commercial) == ("apache-2.0", False)
    server.repositories["who/free"].card = {}
    assert pull.make_offer(registry, Weights(source="who/free", licence="mit")).licence == "mit", "else the style's"
    server.repositories["who/free"].card = {"license": "m\x1b[31mit\n" * 100, "license_link": "javascript:x"}
    hostile = pull.make_offer(registry, Weights(source="who/free"))
    assert hostile.licence.isprintable()
    assert len(hostile.licence) <= 120
    assert hostile.link == ""


def test_what_came_is_locked_and_found_offline(server, registry, monkeypatch):
    commit = server.offer("who/net", NET, license="mit")
    progress = []
    lock = take(registry, progress=progress.append)
    assert sum(progress) == len(LARGE) + 2
    assert lock.files["diffusion_pytorch_model.safetensors"].sha256 == hashlib.sha256(LARGE).hexdigest()
    told = json.loads((registry.folder / "lock.json").read_text())["weights"]
    assert [(w["source"], w["revision"], w["licence"], sorted(w["files"])) for w in told] == [
        ("who/net", commit, "mit", ["config.json", "diffusion_pytorch_model.safetensors"])
    ]
    asked = len(server.asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = Registry(registry.folder).resolve(REF, "ink")
    assert (found.revision, found.licence) == (commit, "mit")
    assert (found.path / "diffusion_pytorch_model.safetensors").read_bytes() == LARGE
    assert not (found.path / "diffusion_pytorch_model.bin").exists(), "never a pickle"
    assert len(server.asked) == asked
    with pytest.raises(EngineError, match="HF_HUB_OFFLINE is set, so nothing can be fetched"):
        pull.make_offer(registry, REF)
    from huggingface_hub import snapshot_download

    cached = snapshot_download("who/net", revision=commit, cache_dir=hub.cache_folder(), local_files_only=True,
                               allow_patterns=["config.json", "*.safetensors"])  # fmt: skip
    assert cached == str(found.path), "other programs find it too"


def test_the_locked_commit_stays_until_an_update_is_asked_for(server, registry):
    first = server.offer("who/net", NET)
    take(registry)
    second = server.offer("who/net", {**NET, "diffusion_pytorch_model.safetensors": LARGE[::-1]})
    assert pull.make_offer(registry, REF).commit == first
    newer = pull.make_offer(registry, REF, update=True)
    assert newer.commit == second != first
    assert newer.missing == len(LARGE) + 2
    pull.fetch(registry, newer)
    assert registry.resolve(REF, "ink").revision == second
    assert len(registry.locks()) == 1
    assert pull.make_offer(registry, Weights(source="who/net", revision=first)).missing == 0, "a style's own commit"


def test_what_is_here_is_not_fetched_again(server, registry, tmp_path):
    server.offer("who/net", NET)
    take(registry)
    before = len(server.ranges())
    other = Registry(tmp_path / "another folder")
    assert pull.make_offer(other, REF).missing == 0
    take(other)
    assert len(server.ranges()) == before == 1
    assert other.resolve(REF, "ink").sha256 == registry.resolve(REF, "ink").sha256


def test_a_connection_that_breaks_is_taken_up_again(server, registry):
    server.offer("who/net", NET)
    server.cut = [3 * CHUNK + 17]
    take(registry)
    assert server.ranges() == ["", f"bytes={3 * CHUNK}-"]
    assert registry.resolve(REF, "ink").revision


def test_a_download_that_stopped_goes_on_where_it_stopped(server, registry, tmp_path):
    server.offer("who/net", NET)
    server.cut = [2 * CHUNK + 1, *[0] * 6]
    with pytest.raises(EngineError) as told:
        take(registry)
    assert str(told.value).startswith("who/net: the connection failed")
    assert str(told.value).endswith("run the same command again; it goes on where it stopped")
    assert "\n" not in str(told.value)
    with pytest.raises(MissingWeightsError):
        registry.resolve(REF, "ink")
    offer = pull.make_offer(registry, REF)
    assert offer.missing == len(LARGE) - 2 * CHUNK, "what came is not counted again, and the config is here"
    server.asked.clear()
    server.cut.clear()
    progress = []
    pull.fetch(registry, offer, progress.append)
    assert server.ranges() == [f"bytes={2 * CHUNK}-"]
    assert sum(progress) == offer.missing
    assert (registry.resolve(REF, "ink").path / "diffusion_pytorch_model.safetensors").read_bytes() == LARGE
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_what_came_damaged_is_not_kept(server, registry, tmp_path):
    server.offer("who/net", NET)
    server.lie = LARGE[:-1] + b"?"
    with pytest.raises(EngineError, match="what came is damaged and was deleted"):
        take(registry)
    assert not [f for f in (tmp_path / "hub").rglob("*") if f.is_file() and f.stat().st_size == len(LARGE)]
    server.lie = None
    take(registry)
    assert registry.resolve(REF, "ink").revision


def test_pulling_again_mends_a_changed_file(server, registry):
    server.offer("who/net", NET)
    take(registry)
    path = registry.resolve(REF, "ink").path
    for name in ("diffusion_pytorch_model.safetensors", "config.json"):
        with (path / name).open("r+b") as file:
            file.write(b"!!")
        with pytest.raises(ChangedWeightsError):
            registry.resolve(REF, "ink")
        offer = pull.make_offer(registry, REF)
        assert offer.missing == len(NET[name])
        pull.fetch(registry, offer)
        assert (registry.resolve(REF, "ink").path / name).read_bytes() == NET[name]


def test_another_file_under_the_same_commit_is_not_taken(server, registry, tmp_path):
    commit = server.offer("who/net", NET)
    take(registry)
    shutil.rmtree(tmp_path / "hub")
    server.repositories["who/net"].commits[commit]["diffusion_pytorch_model.safetensors"] = LARGE[::-1]
    with pytest.raises(ChangedWeightsError, match="offers another file"):
        pull.make_offer(registry, REF)
    server.repositories["who/net"].commits[commit].update(NET, **{"config.json": b"[]"})
    with pytest.raises(ChangedWeightsError, match=r"config\.json came with"):
        take(registry)


def test_a_style_that_states_a_hash_gets_that_file_or_none(server, registry):
    server.offer("who/lora", {"a.safetensors": LARGE})
    with pytest.raises(ChangedWeightsError, match="the style asks for 000000000000"):
        pull.make_offer(registry, Weights(source="who/lora", sha256="0" * 64))
    right = Weights(source="who/lora", sha256=hashlib.sha256(LARGE).hexdigest())
    take(registry, right)
    assert registry.resolve(right, "ink").path.name == "a.safetensors"


def test_a_full_disk_is_seen_before(server, registry, tmp_path, monkeypatch):
    server.offer("who/net", NET)
    offer = pull.make_offer(registry, REF)
    usage = collections.namedtuple("usage", "total used free")
    for free, fits in ((pull.SPARE + len(LARGE), False), (pull.SPARE + len(LARGE) + 2, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(free, 0, free))
        if fits:
            pull.check_room([offer])
        else:
            with pytest.raises(EngineError, match=r"51 kB are needed and 64\.1 MB are free; nothing was fetched"):
                pull.check_room([offer])
    assert not (tmp_path / "hub").exists()


def test_a_disk_that_fills_up_meanwhile_keeps_nothing_half(server, registry, tmp_path, monkeypatch):
    server.offer("who/net", NET)

    def write(self, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pull._Counted, "write", write)
    with pytest.raises(EngineError, match="the disk is full; make room"):
        take(registry)
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_two_at_once_fetch_one_file_once(server, registry):
    server.offer("who/net", NET)
    offers = [pull.make_offer(registry, REF) for _ in range(2)]
    threads = [threading.Thread(target=pull.fetch, args=(registry, offer)) for offer in offers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.ranges() == [""]
    assert registry.resolve(REF, "ink").revision


def test_a_hub_that_has_not_what_is_wanted(server, registry):
    server.offer("who/net", NET)
    for ref, told in (
        (Weights(source="who/nobody"), "no repository called who/nobody"),
        (Weights(source="who/net", revision="c" * 40), f"who/net has no revision {'c' * 40}"),
        (Weights(source="who/net", file="x.safetensors"), "has no file 'x.safetensors'"),
        (Weights(source="who/net", file="diffusion_pytorch_model.bin"), "pickle"),
    ):
        with pytest.raises(EngineError, match=told) as error:
            pull.make_offer(registry, ref)
        assert "\n" not in str(error.value)
    server.repositories["who/net"].gated = True
    with pytest.raises(EngineError, match="asks you to accept its terms"):
        take(registry)


def test_a_hub_that_cannot_be_reached(server, registry, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EngineError, match=r"the connection failed .* run the same command again") as told:
        pull.make_offer(registry, REF)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 B"), (999, "999 B"), (51_202, "51 kB"), (2_510_000_000, "2.5 GB"), (2e13, "20.0 TB")]
)
def test_sizes_are_said_as_people_do(size, told):
    assert pull.told_size(size) == told
