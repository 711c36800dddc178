"""The three audits on real input, as Findings; `run.py` runs them and writes the page."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import fairvl
from fairvl import EncoderCard, Finding, Findings
from fairvl.arrays import unit_rows
from fairvl.fingerprints import file_hash
from fairvl.measure.association import associations, compare_associations, single_category_test
from fairvl.measure.audit import load_suite
from fairvl.measure.zeroshot import classify, prototypes
from fairvl.sources.store import EmbeddingStore, write_store
from fairvl.stats import bootstrap
from fairvl.stats.multiplicity import holm
from fairvl.stats.rates import wilson

HERE = Path(__file__).parent
PERSONS = ("Man", "Woman", "Boy", "Girl", "Person")
NAMED = ("Human beard", "Tie", "Tank", "Missile", "Dress", "Brassiere", "Skirt", "Doll", "Earrings")
FACES = {
    "raw_gender_ViT-L-14_laion2b_s32b_b82k_val": ("gender", "CLIP ViT-L/14 (LAION-2B)"),
    "vitb16-openai-RP": ("race", "CLIP ViT-B/16 (OpenAI), prompts RP"),
    "vitb16-openai-RAGP": ("race", "CLIP ViT-B/16 (OpenAI), prompts RAGP"),
    "argp_race_ViT-H-14_laion2b_s32b_b79k_val": ("race", "CLIP ViT-H/14 (LAION-2B), prompts ARGP"),
}
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
DRAWS = 2000


# -- 1: text vectors of real CLIP --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """OpenImages class names and their CLIP ViT-B/32 vectors [n, 512]."""

    names: tuple[str, ...]
    vectors: np.ndarray[Any, np.dtype[np.floating[Any]]]

    def of(self, *names: str) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
        return self.vectors[[self.names.index(name) for name in names]]

    @property
    def things(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Rows of the classes that are no persons."""
        return np.array([row for row, name in enumerate(self.names) if name not in PERSONS])


def read_classes(data: Path) -> Classes:
    folder = data / "clip-text-class-embeddings"
    names = json.loads((folder / "names_oid.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "oid_clip_a+cname.npy", allow_pickle=False)
    first = [row for row, name in enumerate(names) if names.index(name) == row]  # two names are listed twice
    return Classes(tuple(names[row] for row in first), vectors[first].astype(np.float32))


def store_classes(classes: Classes, folder: Path) -> EmbeddingStore:
    """The vectors as a store of texts "a <class>", for the encoder ``stored:``."""
    card = EncoderCard(
        library="stored", name="CLIP ViT-B/32 text vectors", weights="openai", dim=512, licence="Apache-2.0",
        modalities=("text",),
    )  # fmt: skip
    captions = [f"a {name}" for name in classes.names]
    return write_store(
        folder, ids=classes.names, text_vectors=classes.vectors, columns={"caption": captions}, card=card
    )


def leans(classes: Classes, women: Sequence[str] = ("Woman", "Girl"), men: Sequence[str] = ("Man", "Boy")) -> Any:
    """Mean cosine with the women's classes minus mean cosine with the men's, per class."""
    return associations(classes.vectors, classes.of(*women), classes.of(*men))


def nearest(classes: Classes) -> Any:
    """Nearest other thing of every thing, by cosine."""
    unit = unit_rows(classes.vectors[classes.things])
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines.argmax(axis=1)


def text_audit(data: Path, work: Path) -> Findings:
    """Home and workshop classes between women and men, before and after removing Woman - Man."""
    classes = read_classes(data)
    store_classes(classes, work / "classes")
    encoder = fairvl.load_encoder(f"stored:{work / 'classes'}")
    repairs = {
        name: fairvl.debias(encoder, attribute="gender", method=method, bank=HERE / "debias.toml")
        for name, method in (("orthogonal", "orthogonal"), ("random (control)", "random"))
    }
    found = fairvl.audit(encoder, suite=HERE / "suite.toml", operator=repairs, draws=DRAWS)
    after = {name: Classes(classes.names, repair(unit_rows(classes.vectors)))
             for name, repair in repairs.items()}  # fmt: skip
    rows = [*_held_out(classes, after), *_lean_rows(classes, after), *_geometry(classes, after, repairs)]
    common = {"model": found[0].model, "suite": found[0].suite, "suite_version": found[0].suite_version}
    return found + Findings(rows).with_columns(**common)


def _held_out(classes: Classes, after: Mapping[str, Classes]) -> list[Finding]:
    """The committed test with Girl and Boy alone as attributes: the repair has seen neither."""
    bank = fairvl.load_bank(HERE / "object-classes.toml")
    sets = [bank.sets[name].words for name in ("home", "workshop")] + [("Girl",), ("Boy",)]
    rows: list[Finding] = []
    for name, repaired in after.items():
        pair = [tuple(arm.of(*words) for words in sets) for arm in (classes, repaired)]
        result = compare_associations(pair[0], pair[1], tail="two-sided", draws=DRAWS)
        extra = {"test": "home and workshop classes: Girl and Boy (held out)", "category": "social", "role": "fairness",
                 "repair": name}  # fmt: skip
        for arm, value in zip(("before", "after", "difference"), result, strict=True):
            number = value.value if arm == "difference" else value.effect_size
            rows.append(Finding(
                "effect_size", number, "standard deviations", value.n, low=value.low, high=value.high, level=0.95,
                method=value.method, p=getattr(value, "p", None), note=value.note, arm=arm, order="text-text",
                pair_id=f"held out/{name}", groups="home | workshop", extra=extra,
            ))  # fmt: skip
        cosine = [float((unit_rows(arm.of("Boy")) @ unit_rows(arm.of("Girl")).T)[0, 0]) for arm in (classes, repaired)]
        for arm, number in zip(("before", "after"), cosine, strict=True):
            rows.append(Finding(
                "cosine", number, "cosine", 1, arm=arm, pair_id=f"boy girl/{name}", note="one pair: no interval",
                groups="Boy | Girl", extra={"repair": name, "role": "diagnostic"},
            ))  # fmt: skip
    return rows


def _lean_rows(classes: Classes, after: Mapping[str, Classes]) -> list[Finding]:
    """How far 495 things lean to women or men, by the fitted pair and the held-out pair, and nine named classes."""
    rows: list[Finding] = []
    things = classes.things
    counts = bootstrap.draw_counts(len(things), DRAWS, np.random.default_rng(0))
    for women, men, which in (("Woman", "Man", "fitted pair"), ("Girl", "Boy", "held-out pair")):
        before = np.abs(leans(classes, [women], [men])[things]).round(12)
        for name, repaired in after.items():
            now = np.abs(leans(repaired, [women], [men])[things]).round(12)
            for arm, values in (("before", before), ("after", now), ("difference", now - before)):
                low, high = bootstrap.interval(
                    counts @ values / len(things), float(values.mean()), method="percentile"
                )  # fmt: skip
                rows.append(Finding(
                    "mean_absolute_lean", float(values.mean()), "cosine", len(things), low=float(low), high=float(high),
                    level=0.95, method="percentile over classes", arm=arm, pair_id=f"lean/{which}/{name}",
                    groups=f"{women} | {men}", extra={"repair": name, "role": "fairness", "test": which},
                ))  # fmt: skip
    sets = [("Woman", "Girl"), ("Man", "Boy")]
    for repair, arm in {"": classes, **after}.items():
        sizes = single_category_test(arm.of(*NAMED), *(arm.of(*s) for s in sets)).effect_size
        for name, lean, size in zip(NAMED, leans(arm)[[arm.names.index(n) for n in NAMED]], sizes, strict=True):
            note = "two attribute stimuli a side: no interval"
            extra = {"repair": repair, "role": "diagnostic", "sc_eat": round(float(size), 4)}
            rows.append(Finding("lean", float(lean), "cosine", 4, groups=name, note=note, extra=extra))
    return rows


def _geometry(classes: Classes, after: Mapping[str, Classes], repairs: Mapping[str, Any]) -> list[Finding]:
    """What the repair costs: neighbours among things, and length lost."""
    rows: list[Finding] = []
    before = nearest(classes)
    for name, repaired in after.items():
        same = int((nearest(repaired) == before).sum())
        low, high = wilson(same, len(before))
        extra = {"repair": name, "role": "utility"}
        shares = {"before": (1.0, 1.0, 1.0), "after": (same / len(before), low, high),
                  "difference": (same / len(before) - 1, low - 1, high - 1)}  # fmt: skip
        for arm, (value, low, high) in shares.items():
            rows.append(Finding(
                "same_nearest_neighbour", value, "share", len(before), low=low, high=high, level=0.95,
                method="Wilson over classes", arm=arm, pair_id=f"neighbour/{name}", groups="(things)",
                note="agreement with the vectors before the repair, which agree with themselves", extra=extra,
            ))  # fmt: skip
        extra = {"repair": name, "role": "diagnostic"}
        seen = repairs[name].diagnose(classes.vectors[classes.things], held_out=classes.of("Boy", "Girl"))
        for metric, value in (("retained_norm", seen.retained_norm), ("smallest_retained_norm",
                              seen.smallest_retained_norm), ("held_out_spread_left", seen.leakage)):  # fmt: skip
            rows.append(
                Finding(
                    metric, value, "share", len(before), note="a property of the operator: no interval", extra=extra
                )
            )
    return rows


# -- 2: predictions of real CLIP on faces ------------------------------------------------------------------------------


def face_audits(data: Path) -> dict[str, Findings]:
    """Findings of each file, by race, gender, age and all their crossings."""
    found = {}
    for name, (truth, model) in FACES.items():
        path = data / "clip-fairface-val-predictions-mit" / f"{name}.csv.gz"
        audited = fairvl.audit(
            predictions=path, truth=truth, prediction=f"{truth}_preds", id="file", crossings=3, draws=1000
        )
        found[name] = audited.with_columns(model=model)
    return found


# -- 3: scenes through a real image encoder ----------------------------------------------------------------------------


def mobilenet(data: Path) -> Any:
    """MobileNet v1's quantised embedding extractor as an encoder of images: uint8 224 x 224 in, 1,024 numbers out."""
    from ai_edge_litert.interpreter import Interpreter

    path = data / "mobilenet-tflite" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    model = Interpreter(model_path=str(path), num_threads=1)
    model.allocate_tensors()
    entry, exit_ = model.get_input_details()[0], model.get_output_details()[0]
    scale, zero = exit_["quantization"]

    def image_fn(images: list[Image.Image]) -> Any:
        rows = []
        for image in images:
            pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), dtype=np.uint8)
            model.set_tensor(entry["index"], pixels[None])
            model.invoke()
            rows.append(scale * (model.get_tensor(exit_["index"]).reshape(-1).astype(np.float32) - zero))
        return np.stack(rows)

    card = EncoderCard(
        library="callable", name="MobileNet v1 1.0 224 quantised", weights=f"sha256:{file_hash(path)[:16]}", dim=1024,
        dtype="uint8", licence="Apache-2.0", modalities=("image",),
    )  # fmt: skip
    return fairvl.encoder(image_fn=image_fn, card=card)


def scene_audit(data: Path, work: Path) -> tuple[Findings, EmbeddingStore]:
    """200 generated scenes; one label says "man1" and is mapped."""
    encoder = mobilenet(data)
    folder = data / "pairs-images"
    dataset = fairvl.load_dataset(f"zip:{folder / 'pairs.zip'}?metadata={folder / 'images.csv'}")
    store = fairvl.embed(encoder, dataset, work / "scenes", workers=0)
    found = fairvl.audit(
        encoder, dataset=store, suite=HERE / "scenes.toml", recode={"gender": {"man1": "man"}}, draws=DRAWS
    )
    labels = {c: store.columns(c).tolist() for c in ("scenario", "section", "race", "gender")}
    labels["gender"] = [label.replace("man1", "man") for label in labels["gender"]]
    return found + Findings(_matched(store.image_vectors.read(), labels)).with_columns(
        model=found[0].model, suite=found[0].suite, dataset=found[0].dataset
    ), store


def _matched(vectors: Any, labels: Mapping[str, Sequence[str]], draws: int = 9_999) -> list[Finding]:
    """The social tests once more as matched pairs: the same scenario, race and (or) gender apart, sign-flip p.

    Scenes are identical but for the person, so the difference inside a scenario is free of what scenarios differ in.
    """
    columns = {name: np.array(values) for name, values in labels.items()}
    target = np.array([hashlib.sha256(s.encode()).digest()[0] & 1 for s in columns["scenario"]], dtype=bool)
    suite = load_suite(HERE / "scenes.toml")
    spelled = {"female": "woman", "male": "man"}
    rows = []
    for test in suite.associations:
        if test.category != "social":
            continue
        chosen = [np.isin(columns[s.attribute], [spelled.get(v, v) for v in s.value.split("|")])
                  for s in (test.x, test.y, test.a, test.b)]  # fmt: skip
        scores = np.zeros(len(target))
        scores[target] = associations(vectors[target], vectors[chosen[2] & ~target], vectors[chosen[3] & ~target])
        scenarios = sorted(set(columns["scenario"][target]))
        inside = [target & (columns["scenario"] == s) for s in scenarios]
        gaps = np.array([scores[rows_ & chosen[0]].mean() - scores[rows_ & chosen[1]].mean() for rows_ in inside])
        rng = np.random.default_rng(0)
        counts = bootstrap.draw_counts(len(gaps), DRAWS, rng)
        low, high = bootstrap.interval(counts @ gaps / len(gaps), float(gaps.mean()), method="percentile")
        flips = rng.choice([-1.0, 1.0], (draws, len(gaps))) @ gaps
        p = (1 + int((np.abs(flips) >= abs(gaps.sum()) - 1e-12).sum())) / (draws + 1)
        rows.append(Finding(
            "matched_difference", float(gaps.mean()), "cosine", len(gaps), low=float(low), high=float(high), level=0.95,
            method=f"percentile over {len(gaps)} scenarios; sign flips", p=p, groups=f"{test.x.name} | {test.y.name}",
            order=test.order, attribute=test.attribute, seed=0,
            extra={"test": test.test, "role": "fairness", "relative": float(gaps.mean() / gaps.std(ddof=1))},
        ))  # fmt: skip
    adjusted = holm([float(row.p) for row in rows if row.p is not None])
    return [replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)]


# -- 4: emoji people through a CLIP trained on emoji -------------------------------------------------------------------


def emoji_audit(data: Path, work: Path, model: Path) -> tuple[Findings, Findings]:
    """Held-out concepts only: the suite, and accuracies whose intervals resample whole concepts."""
    import sys

    sys.path.insert(0, str(HERE.parents[1] / "train"))
    from emoji_clip import read_rows, split

    _, audit_rows = split(read_rows(data))
    work.mkdir(parents=True, exist_ok=True)
    labels = work / "emoji-held-out.csv"
    with open(labels, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["file", "gender", "skin_tone", "concept_root"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(audit_rows)
    encoder = fairvl.load_encoder(f"open_clip:local-dir:{model}")
    dataset = fairvl.load_dataset(f"zip:{data / 'noto-emoji-72' / 'png72.zip'}?metadata={labels}")
    store = fairvl.embed(encoder, dataset, work / f"{model.name}-vectors", workers=0)
    found = fairvl.audit(encoder, dataset=store, suite=HERE / "emoji.toml", draws=DRAWS)
    rows = [row for task in ("gender", "skin_tone") for row in _by_concept(encoder, store, task)]
    return found, Findings(rows).with_columns(model=found[0].model, suite=found[0].suite)


def _by_concept(encoder: Any, store: EmbeddingStore, task: str) -> list[Finding]:
    bank = fairvl.load_bank(HERE / f"emoji-{task.replace('_', '-')}.toml")
    texts = [bank.prompts(name).texts for name in bank.sets]
    codes = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    vectors = unit_rows(encoder.encode_texts([t for ts in texts for t in ts]))
    spelling = {"woman": "female", "man": "male"}
    columns = {c: [spelling.get(v, v) for v in store.columns(c).tolist()] for c in ("gender", "skin_tone")}
    images = unit_rows(store.image_vectors.read())
    predicted = np.array(list(bank.sets))[classify(prototypes(vectors, codes, len(texts)), images)]
    right = (predicted == np.array(columns[task])).astype(np.float64)
    by = np.array(columns["skin_tone" if task == "gender" else "gender"])
    rows = clustered_accuracy(right, by, store.columns("concept_root").tolist())
    chance = 1 / len(texts)
    return list(Findings(rows).with_columns(task=task, chance=chance))


def clustered_accuracy(
    right: Any, groups: Any, units: Sequence[str], draws: int = DRAWS, seed: int = 0
) -> list[Finding]:
    """Accuracy overall, by group and largest minus smallest group, resampling whole units (concepts)."""
    codes = bootstrap.unit_codes(np.array(units))
    n_units = int(codes.max()) + 1
    counts = bootstrap.draw_counts(n_units, draws, np.random.default_rng(seed))
    labels = sorted(set(groups.tolist()))
    masks = {"(all)": np.ones(len(right), bool)} | {label: groups == label for label in labels}
    values, replicates = {}, {}
    for label, mask in masks.items():
        hits = np.bincount(codes[mask], right[mask], minlength=n_units)
        rows = np.bincount(codes[mask], minlength=n_units)
        values[label] = float(right[mask].mean())
        with np.errstate(invalid="ignore"):
            replicates[label] = (counts @ hits) / (counts @ rows)
    worst, best = (pick(labels, key=values.__getitem__) for pick in (min, max))
    gap = f"{best} - {worst}"
    values[gap], replicates[gap] = values[best] - values[worst], replicates[best] - replicates[worst]
    found = []
    for label, value in values.items():
        low, high = bootstrap.interval(replicates[label], value, method="percentile", units=n_units)
        n = int(masks[label].sum()) if label in masks else len(right)
        found.append(Finding(
            "accuracy_gap" if label == gap else "accuracy", value, "share", n, low=float(low), high=float(high),
            level=0.95, method=f"percentile over {n_units} concepts", groups=label, seed=seed,
            extra={"role": "fairness", "units": n_units},
        ))  # fmt: skip
    return found
