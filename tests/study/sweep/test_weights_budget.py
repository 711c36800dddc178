"""A bound on weights: said first, refused where one model is over it, released model by model, also after a kill."""

import json

import pytest

from fairvl.errors import InputError
from fairvl.study.sweep import ModelEntry, sweep
from fairvl.study.sweep.weights import HubStore, weights_plan

RUN = {"draws": 100, "permutations": 199}


class Hub:
    """A cache of revisions by repository, that remembers the most it ever held."""

    def __init__(self, sizes, held=()):
        self.sizes = sizes
        self.disk = {name: {"old"} for name in held}
        self.peak, self.deleted = 0, []

    def repository(self, encoder):
        return encoder.partition("?")[0] if encoder in self.sizes else None

    def parameters(self, encoder):
        return self.sizes[encoder]

    def held(self, repository):
        return frozenset(self.disk.get(repository, ()))

    def fetch(self, repository):
        if repository not in self.disk:
            self.disk[repository] = {"new"}
        self.peak = max(self.peak, sum(4 * self.sizes[name] for name in self.disk))

    def delete(self, repository, revisions):
        assert set(revisions) <= self.disk[repository]
        self.disk[repository] -= set(revisions)
        if not self.disk[repository]:
            del self.disk[repository]
        self.deleted.append((repository, *revisions))
        return 4 * self.sizes[repository]


@pytest.fixture
def fetching(monkeypatch, toy):
    """`load_encoder` that fetches into a fake hub first."""

    def use(hub):
        def load(name):
            if name in hub.sizes:
                hub.fetch(name)
            if name.endswith("broken"):
                raise OSError("weights do not fit")
            return toy.Counting(len(name))

        monkeypatch.setattr("fairvl.study.sweep.run.load_encoder", load)
        return hub

    return use


def entries(*names, **millions):
    return [ModelEntry(name, name, {"params_m": millions[name]} if name in millions else {}) for name in names]


def test_models_are_fetched_measured_and_released_one_by_one(tmp_path, toy, fetching, capsys):
    hub = fetching(Hub({"a": 100_000_000, "bb": 200_000_000, "ccc": 150_000_000}, held=["ccc"]))
    table = sweep(entries("a", "bb", "ccc", "local"), tmp_path, suite=toy.registry(), weights_budget=1.0,
                  weight_store=hub, **RUN)  # fmt: skip
    assert len(table) == 16
    assert not table.settings["failed"]
    assert hub.deleted == [("a", "new"), ("bb", "new")]
    assert hub.disk == {"ccc": {"old"}}  # what was there stays there
    assert hub.peak == 4 * 350_000_000  # the held one, and one at a time
    said = capsys.readouterr().err
    assert "about 1.20 GB of weights will be fetched for 2 of 4 models, at most 0.80 GB on disk at a time" in said
    assert "1 models are in the cache already" in said
    assert "parameters x 4 bytes" in said
    assert not (tmp_path / ".jobs/weights.json").exists()
    sweep(
        entries("a", "bb", "ccc", "local"), tmp_path, suite=toy.registry(), weights_budget=1.0, weight_store=hub, **RUN
    )
    assert "about 0.00 GB of weights will be fetched for 0 of 4 models" in capsys.readouterr().err


def test_a_model_over_the_budget_is_refused_before_anything_is_fetched(tmp_path, toy, fetching):
    hub = fetching(Hub({"a": 100_000_000, "bb": 2_000_000_000}))
    with pytest.raises(InputError, match=r"1 GB: bb alone needs about 8\.00 GB\. Raise the budget"):
        sweep(entries("a", "bb"), tmp_path / "o", suite=toy.registry(), weights_budget=1.0, weight_store=hub, **RUN)
    assert hub.peak == 0
    assert not (tmp_path / "o").exists()
    with pytest.raises(InputError, match="expected gigabytes above 0"):
        sweep(entries("a"), tmp_path / "o", suite=toy.registry(), weights_budget=0, weight_store=hub, **RUN)


def test_params_m_of_the_list_come_first_and_an_unknown_size_is_refused(tmp_path):
    hub = Hub({"a": None, "b": 10})
    plan = weights_plan(entries("a", "b", a=250), 2, hub, tmp_path)
    assert plan.sizes == {"a": 1_000_000_000, "b": 40}
    with pytest.raises(InputError, match=r"nothing tells the size of a\. Give params_m"):
        weights_plan(entries("a", "b"), 2, hub, tmp_path)


def test_weights_of_a_model_that_fails_are_released_too(tmp_path, toy, fetching):
    hub = fetching(Hub({"broken": 10_000_000}))
    table = sweep(entries("broken", "x"), tmp_path, suite=toy.registry(), weights_budget=1, weight_store=hub, **RUN)
    assert table.settings["failed"] == {"broken": "OSError: weights do not fit"}
    assert hub.disk == {}


def test_what_a_killed_run_fetched_is_released_by_the_next(tmp_path, toy, fetching):
    hub = fetching(Hub({"a": 10_000_000}))
    plan = weights_plan(entries("a"), 1, hub, tmp_path)
    fetched = plan.fetched("a", "a")
    fetched.__enter__()
    hub.fetch("a")  # and here the process dies: nothing is released
    assert json.loads((tmp_path / ".jobs/weights.json").read_text()) == {"a": []}
    sweep(entries("a"), tmp_path, suite=toy.registry(), weights_budget=1, weight_store=hub, **RUN)
    assert hub.deleted == [("a", "new")]


@pytest.mark.slow  # imports open_clip
def test_the_hub_store_knows_what_encoder_names_fetch(tmp_path):
    pytest.importorskip("open_clip", reason="open_clip is not installed (extra: models)")
    pytest.importorskip("huggingface_hub")
    store = HubStore()
    assert store.repository("open_clip:hf-hub:org/name") == "org/name"
    assert store.repository("open_clip:ViT-B-32/laion2b_s34b_b79k") == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert store.repository("transformers:org/name?revision=x") == "org/name"
    for local in ("fake", "open_clip:local-dir:/x", "open_clip:ViT-B-32?random=1", f"transformers:{tmp_path}"):
        assert store.repository(local) is None
    assert store.parameters("open_clip:ViT-B-32/laion2b_s34b_b79k") == pytest.approx(151.3e6, rel=0.01)
    assert store.parameters("open_clip:hf-hub:org/name") is None


def test_the_hub_store_lists_and_deletes_revisions(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    commit = "a" * 40
    repository = tmp_path / "models--org--name"
    for part in ("blobs", "refs", f"snapshots/{commit}"):
        (repository / part).mkdir(parents=True)
    (repository / "blobs/b1").write_bytes(b"x" * 1000)
    (repository / "refs/main").write_text(commit)
    (repository / f"snapshots/{commit}/w.safetensors").symlink_to("../../blobs/b1")
    scan = hub.scan_cache_dir
    monkeypatch.setattr(hub, "scan_cache_dir", lambda: scan(tmp_path))
    store = HubStore()
    assert store.held("org/name") == {commit}
    assert store.held("org/other") == frozenset()
    assert store.delete("org/name", [commit]) == 1000
    assert store.held("org/name") == frozenset()
    monkeypatch.setattr(hub, "scan_cache_dir", lambda: scan(tmp_path / "absent"))
    assert store.held("org/name") == frozenset()
