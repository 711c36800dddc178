"""How good and how biased a world CLIP is: zero-shot accuracy, association, retrieval skew, and what projection does.

python train/world_quality.py src/fairvl/sources/world/models/clip
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPModel

from fairvl.sources.world import Portraits, WorldSpec, portraits
from fairvl.sources.world import words as w

Array = NDArray[np.float64]
Texts = Callable[[Sequence[str]], Array]

PROMPTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "gender": {"female": ("a photo of a woman",), "male": ("a photo of a man",)},
    "age_group": {"young": ("a photo of a young person",), "old": ("a photo of an old person",)},
    "skin": {"light": ("a photo of a person with light skin",), "dark": ("a photo of a person with dark skin",)},
    "hair_length": {"short": ("a photo of a person with short hair",), "long": ("a photo of a person with long hair",)},
    "glasses": {
        "glasses": ("a photo of a person with glasses",),
        "no glasses": ("a photo of a person without glasses",),
    },
    "smile": {"smiling": ("a photo of a smiling person",), "serious": ("a photo of a serious person",)},
    "occupation": {job: (f"a photo of a {job}",) for job in w.ATTRIBUTES["occupation"]},
    "place": {place: (f"a photo of a person in the {place}",) for place in w.ATTRIBUTES["place"]},
    "thing": {"flower": ("a photo of a person next to a flower",), "litter": ("a photo of a person next to litter",)},
}  # fmt: skip
GENDER_PROMPTS = ("a photo of a man", "a photo of a male", "a photo of a woman", "a photo of a female")


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class Model:
    """Vectors of pictures and texts, unit rows."""

    def __init__(self, model: CLIPModel, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def load(cls, folder: Path | str) -> Model:
        return cls(CLIPModel.from_pretrained(folder).float(), AutoTokenizer.from_pretrained(folder))

    @torch.no_grad()
    def images(self, images: NDArray[np.uint8]) -> Array:
        parts = []
        for start in range(0, len(images), 256):
            pixels = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float().div(127.5).sub(1)
            parts.append(self.model.visual_projection(self.model.vision_model(pixels).pooler_output).numpy())
        return unit(np.concatenate(parts).astype(np.float64))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Array:
        batch = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        pooled = self.model.text_model(**{k: batch[k] for k in ("input_ids", "attention_mask")}).pooler_output
        return unit(self.model.text_projection(pooled).numpy().astype(np.float64))


def zero_shot(image_vectors: Array, texts: Texts, name: str) -> NDArray[np.int64]:
    """Predicted code of an attribute for each picture."""
    prompts = [prompt for options in PROMPTS[name].values() for prompt in options]
    return np.argmax(image_vectors @ texts(prompts).T, axis=1)


def accuracies(world: Portraits, image_vectors: Array, texts: Texts) -> dict[str, float]:
    hits = {}
    for name in PROMPTS:
        truth = np.array([w.ATTRIBUTES[name].index(v) for v in world.truth[name]])
        hits[name] = float(np.mean(zero_shot(image_vectors, texts, name) == truth))
    return hits


def differential(x: Array, a: Array, b: Array) -> Array:
    return (x @ a.T).mean(1) - (x @ b.T).mean(1)


def effect(x: Array, y: Array, a: Array, b: Array) -> float:
    """Effect size of a differential association (ddof 1 over the union)."""
    s, t = differential(x, a, b), differential(y, a, b)
    return float((s.mean() - t.mean()) / np.concatenate([s, t]).std(ddof=1))


def female_share_gap(image_vectors: Array, concepts: Array, female: NDArray[np.bool_], k: int) -> Array:
    """Share of women among each concept's first k pictures, minus their share of all."""
    order = np.argsort(-(concepts @ image_vectors.T), axis=1, kind="stable")[:, :k]
    return female[order].mean(1) - female.mean()


def max_skew(gap: Array, base: float) -> Array:
    share = gap + base
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(share / base), np.log((1 - share) / (1 - base)))


def projection(prompts: Array, subspace: str) -> Callable[[Array], Array]:
    rows = prompts
    if subspace == "centred":
        rows = prompts - prompts.mean(0)
    if subspace == "pairs":
        half = len(prompts) // 2
        rows = prompts[:half] - prompts[half:]
    _, s, v = np.linalg.svd(rows, full_matrices=False)
    basis = v[s > s[0] * max(rows.shape) * np.finfo(np.float64).eps]
    return lambda x: unit(x - (x @ basis.T) @ basis)


def measure(model: Model, *, n: int = 2000, seed: int = 1, k: int = 200) -> dict[str, Any]:
    world = portraits(WorldSpec.biased(0.0), n, seed, split="test")
    vectors = model.images(world.images)
    female = world.truth["gender"] == "female"

    def row(texts: Texts) -> dict[str, Any]:
        def concept_sets(form: str) -> tuple[Array, Array]:
            return texts([form.format(c) for c in w.PLEASANT]), texts([form.format(c) for c in w.UNPLEASANT])

        good, bad = concept_sets("a photo of a {} person")
        women = texts([f"a photo of a {c}" for c in w.FEMALE_NOUNS])
        men = texts([f"a photo of a {c}" for c in w.MALE_NOUNS])
        jobs = texts([f"a photo of a {c}" for c in w.ATTRIBUTES["occupation"]])
        gaps = female_share_gap(vectors, np.concatenate([good, bad]), female, k)
        flowers = texts([f"a photo of a {c}" for c in w.FLOWERS])
        litter = texts([f"a photo of a {c}" for c in w.LITTER])
        lovely, grim = (texts([f"a {c} scene" for c in family]) for family in (w.LOVELY, w.GRIM))
        guess = zero_shot(vectors, texts, "occupation")
        truth = np.array([w.ATTRIBUTES["occupation"].index(v) for v in world.truth["occupation"]])
        stereotyped = (truth >= 4) == female
        hit = guess == truth
        return {
            "accuracy": accuracies(world, vectors, texts),
            "text d: concepts": effect(good, bad, women, men),
            "text d: occupations": effect(jobs[4:], jobs[:4], women, men),
            "image d: pictures x concepts": effect(vectors[female], vectors[~female], good, bad),
            "text d: control": effect(flowers, litter, lovely, grim),
            "mean max skew": float(max_skew(gaps, float(female.mean())).mean()),
            "female share pleasant - unpleasant": float(gaps[: len(good)].mean() - gaps[len(good) :].mean()),
            "occupation gap stereotyped - other": float(hit[stereotyped].mean() - hit[~stereotyped].mean()),
        }

    found = {"before": row(model.texts)}
    prompts = model.texts(GENDER_PROMPTS)
    for subspace in ("span", "centred", "pairs"):
        repair = projection(prompts, subspace)
        found[subspace] = row(lambda texts, repair=repair: repair(model.texts(texts)))
    rng = np.random.Generator(np.random.PCG64(0))
    repair = projection(rng.standard_normal(prompts.shape), "span")
    found["random"] = row(lambda texts: repair(model.texts(texts)))
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    arms = list(found)
    names = [f"accuracy {a}" for a in found[arms[0]]["accuracy"]] + [m for m in found[arms[0]] if m != "accuracy"]
    lines = [f"{'':38}" + "".join(f"{arm:>10}" for arm in arms)]
    for name in names:
        cells = [found[a]["accuracy"][name[9:]] if name.startswith("accuracy ") else found[a][name] for a in arms]
        lines.append(f"{name:38}" + "".join(f"{cell:10.3f}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(Model.load(arguments.folder), n=arguments.n)
    print(json.dumps(found, indent=1) if arguments.json else table(found))


if __name__ == "__main__":
    main()
