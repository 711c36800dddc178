"""A toy registry of four cases and encoders that count, as a module that any process can import."""

import sys
from pathlib import Path

import pytest

TOY = '''
"""Eight words, four templates, twelve pictures; two of four cases are social, one has pictures as targets."""
import io, time
from dataclasses import replace
import numpy as np
from PIL import Image
from fairvl.sources.encoders import EncoderCard, FakeEncoder
from fairvl.sources.stimuli import Case, Registry, StimulusSet, image_key, text_key

WORDS = {"flowers": ["rose", "tulip", "lily", "daisy"], "insects": ["ant", "bee", "fly", "moth"],
         "good": ["love", "joy", "laugh"], "bad": ["pain", "hate", "grief"]}
TEMPLATES = ["this is {}", "that is {}", "there is {}", "here is {}"]

def texts(name, change=None):
    found = [t.format(w) for w in WORDS[name] for t in TEMPLATES]
    if change:
        found[0] = change
    each = range(len(found))
    return StimulusSet(name=name, modality="text", keys=tuple(map(text_key, found)),
                       words=tuple(i // 4 for i in each), templates=tuple(i % 4 for i in each),
                       source="ours", licence="Apache-2.0", labels=tuple(found), _texts=tuple(found))

def png(number, change=0):
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    pixels[0, 0, 0] ^= change
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

def pictures(name, numbers, change=0):
    data = [png(n, change if i == 0 else 0) for i, n in enumerate(numbers)]
    return StimulusSet(name=name, modality="image", keys=tuple(map(image_key, data)), words=tuple(range(len(data))),
                       templates=(-1,) * len(data), source="ours", licence="Apache-2.0", stand_in=True,
                       labels=tuple(map(str, numbers)), _images=tuple((lambda d=d: d) for d in data))

def registry(*, version=1, text=None, pixel=0):
    x, y, a, b = texts("flowers", text), texts("insects"), texts("good"), texts("bad")
    u, v = pictures("light", range(6), pixel), pictures("dark", range(6, 12))
    cases = (
        Case("flower-insect", "Flower-Insect", "control", "text-text", x, y, a, b),
        Case("race", "Race", "social", "image-text", u, v, a, b),
        Case("race", "Race", "social", "text-image", x, y, u, v),
        Case("age", "Age", "social", "image-image", u, v, u, v, missing="pictures are not here"),
    )
    return Registry(id="toy", version=version, fingerprint=f"toy-{version}-{text}-{pixel}", cases=cases)

class Counting:
    """A FakeEncoder with a lean that differs by seed, that counts what it is asked."""
    def __init__(self, seed=0, dim=8, nap=0.0, bad=()):
        self.fake = FakeEncoder(dim)
        self.card = EncoderCard(library="toy", name=f"toy-{seed}", weights=f"seed {seed}", dim=dim,
                                parameters=10**6 * (seed + 1))
        self.seed, self.nap, self.bad = seed, nap, set(bad)
        self.texts, self.images, self.calls = [], 0, 0
        self.turn = np.random.default_rng(seed).normal(size=(dim, dim)).astype(np.float32)

    def encode_texts(self, texts):
        self.calls += 1
        self.texts += list(texts)
        time.sleep(self.nap)
        lean = [[any(w in t for w in WORDS["flowers"] + WORDS["good"])] for t in texts]
        lean = np.array(lean, np.float32).reshape(-1, 1) * 2 - 1
        return (self.fake.encode_texts(texts) + 0.06 * lean * self.turn[:1]) @ self.turn

    def encode_images(self, images):
        self.calls += 1
        self.images += len(images)
        time.sleep(self.nap)
        vectors = self.fake.encode_images(images) @ self.turn
        for row, image in enumerate(images):
            if image.tobytes() in self.bad:
                vectors[row] = np.nan
        return vectors

def models(n=3, nap=0.0):
    return {f"toy-{seed}": Counting(seed, nap=nap) for seed in range(n)}
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    room = tmp_path / "module"
    room.mkdir()
    (room / "toy_sweep.py").write_text(TOY)
    monkeypatch.syspath_prepend(room)
    monkeypatch.setenv("PYTHONPATH", str(room))
    sys.modules.pop("toy_sweep", None)
    import toy_sweep

    yield toy_sweep
    sys.modules.pop("toy_sweep", None)


@pytest.fixture
def tree():
    """Relative path -> bytes of what a sweep leaves for a reader, and of its state but for locks."""

    def read(folder):
        files = {p.relative_to(folder).as_posix(): p for p in sorted(Path(folder).rglob("*")) if p.is_file()}
        return {name: p.read_bytes() for name, p in files.items() if "lock" not in name}

    return read


QUICK = {"draws": 100, "permutations": 199}


@pytest.fixture
def quick():
    return dict(QUICK)
