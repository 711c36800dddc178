"""`audit_images`: read the images, ask the judge, measure every attribute, before and after each repair."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....arrays import unit_rows
from ....errors import DatasetError, InputError
from ....findings import Finding, Findings
from ....fingerprints import fingerprint
from ....sources.encoders import Encoder, load_encoder
from ..signing import environment
from .groups import expected_of, groups_of, targets_of
from .judge import Judge, card_of, check_judges, confusions_of, name_of, progress, sure_labels
from .labelling import image_vectors
from .measured import (
    CONCEPT,
    Setting,
    attribute_findings,
    concept_findings,
    confusion_findings,
    crossing_findings,
    fidelity_findings,
)
from .table import ImageTable, paired, read_images, split_arms

CONVENTIONS = {
    "parity_gap": "|2 q - 1| for two groups; 0 at equal shares, whatever the target",
    "total_variation": "1/2 sum |q - target|, any number of groups",
    "image_max_skew, image_min_skew": "largest and smallest ln(q / target), nats",
    "image_entropy": "-sum q ln q / ln g",
    "expected": "mean probability; a stated confidence c gives its label c and the other groups equal parts of 1 - c",
    "corrected": "confusion matrix inverted, negative shares set to 0; intervals carry the truth set's own doubt",
    "bound_low, bound_high": "the number however the unlabelled images turn out",
    "mean": "every prompt the same weight",
}  # fmt: skip


def audit_images(
    images: Path | str, prompts: Path | str | Mapping[str, Sequence[Any]] | None = None, labeller: Any = None, *,
    after: Mapping[str, Any] | Path | str | None = None, attributes: Sequence[str] | Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None, target: Any = "uniform", min_confidence: float = 0.0,
    truth: Any = None, fidelity: str | Encoder | None = None, audited: Any = None, allow_same_encoder: bool = False,
    smoothing: float = 0.0, crossings: int = 2, draws: int = 1000, level: float = 0.95, seed: int = 0,
) -> Findings:  # fmt: skip
    """Who the images of a generator show, whether explicit prompts are honoured, and whether images fit their prompts.

    Parameters
    ----------
    images
        Folder of generated images, of any generator.
    prompts
        Table (file or columns), one row per image: ``prompt``, and ``id`` or ``file``; optional ``seed``, ``concept``,
        ``kind`` ("neutral", the default, or "explicit"), ``expected`` or ``expected_ATTRIBUTE`` (the group that an
        explicit prompt names), ``arm`` ("before" and names of repairs). By default ``prompts.csv`` in the folder.
    labeller
        The judge. A table with ``id`` or ``file``, one column per attribute and optional ``ATTRIBUTE_confidence``; an
        encoder or its name, for zero-shot classes; a function of one RGB picture that returns a label, None,
        (label, confidence) or {group: probability}, or several by attribute. One table per arm: a mapping with the keys
        ``before`` and the names of the repairs; one table for all needs a column ``arm``, or files that differ, and one
        function needs its attribute in `attributes`. An attribute named ``concept`` is held against the prompts'
        concepts.
    after
        Folder of the same prompts and seeds after a repair, or several by name; each may be (folder, table).
    attributes
        Which ones; for an encoder also a mapping to banks of class prompts (default: ``zero-shot-ATTRIBUTE``, gender).
    groups
        All groups of an attribute, also those that no image shows.
    target
        "uniform", "population" or shares per group; or one of these per attribute.
    min_confidence
        Answers below it are taken back: these images are unlabelled.
    truth
        What the judge makes of images whose group is known, to correct for: `Confusion` by attribute; a table with the
        columns ATTRIBUTE and ATTRIBUTE_judged; or labelled images (a dataset or its name) for the same judge.
    fidelity
        An encoder for the cosine of image and prompt.
    audited
        Card, encoder or name of the model that the images came from (its text encoder). A judge or fidelity encoder
        that is the same is refused, unless `allow_same_encoder`.
    smoothing
        Images added to every group before logarithms.
    crossings
        How many attributes are crossed at most.
    draws, level, seed
        Images are resampled within prompts, paired over arms; a second interval of every mean resamples prompts.

    Returns
    -------
    Findings
        ``generated_share``, ``parity_gap``, ``total_variation``, ``image_max_skew``, ``image_min_skew``,
        ``image_entropy`` per prompt, as ``mean_...`` and ``worst_...``; ``unlabelled``; ``explicit_accuracy``,
        ``concept_accuracy``, ``prompt_fidelity``; ``judge_rate``. The free column ``labels`` says hard, expected or
        corrected.

    Raises
    ------
    DatasetError
        Folders, tables or images that cannot be used; an id that stands for other prompts or seeds in another arm;
        labels of fewer than half of an arm's images.
    GroupError
        An expected group that is unknown; an attribute of which only one group is known.
    EncoderError
        The judge is the model under audit.
    InputError
        No judge; a confusion matrix that cannot be inverted.
    """
    arms, unpaired = image_arms(images, prompts, after)
    judge = Judge.of(labeller, attributes, arms)
    fidelity_encoder = load_encoder(fidelity) if isinstance(fidelity, str) else fidelity
    notes = check_judges(judge, fidelity_encoder, audited, allow_same_encoder)
    if not 0 <= min_confidence <= 1:
        raise InputError(f"min_confidence={min_confidence}; expected a probability from 0 to 1.")
    labels = {name: sure_labels(judge.label(name, table), min_confidence) for name, table in arms.items()}
    names = list(next(iter(labels.values())).answers)
    if lost := [name for name in names if any(name not in part.answers for part in labels.values())]:
        raise DatasetError(f"labels of {lost} are missing in one arm; every arm needs the same attributes.")
    confusions = confusions_of(truth, judge, names, min_confidence)
    first = next(iter(arms.values()))
    targets = targets_of(target, [name for name in names if name != CONCEPT])
    known = {name: groups_of(name, groups, labels, targets, confusions, first) for name in names}
    expected = expected_of(first, known, chosen=attributes is not None)
    setting = Setting(arms, labels, known, targets, expected, confusions, smoothing, draws, level, seed)
    sensitive = [name for name in names if name != CONCEPT]
    found: list[Finding] = []
    for name in sensitive:
        found += attribute_findings(setting, name)
    for size in range(2, min(crossings, len(sensitive)) + 1):
        for crossed in itertools.combinations(sensitive, size):
            found += crossing_findings(setting, crossed)
    if CONCEPT in names:
        found += concept_findings(setting)
    if fidelity_encoder is not None:
        found += fidelity_findings(setting, _cosines(arms, fidelity_encoder))
    found += confusion_findings(confusions, level)
    settings = _settings(setting, judge, unpaired, min_confidence, fidelity_encoder, audited, notes)
    signature = {"dataset": Path(images).name, "model": name_of(audited), "config_hash": fingerprint(settings)}
    return Findings(found, settings).with_columns(**signature)


def image_arms(images: Any, prompts: Any = None, after: Any = None) -> tuple[dict[str, ImageTable], int]:
    """The paired images of every arm ("": before), and how many have no counterpart; arguments of `audit_images`."""
    table = Path(images) / "prompts.csv" if prompts is None else prompts
    arms = split_arms(read_images(images, table))
    repaired = {} if after is None else dict(after) if isinstance(after, Mapping) else {Path(after).name: after}
    if repaired and len(arms) > 1:
        raise InputError("the prompt table has a column 'arm', and after= was given too; expected one of them.")
    for name, place in repaired.items():
        folder, own = place if isinstance(place, tuple) else (place, Path(place) / "prompts.csv")
        if not isinstance(place, tuple) and not Path(own).is_file():
            own = table  # one table for all arms, its files looked up in each folder
        if str(name) in ("", "before"):
            raise InputError(f"a repair is named {name!r}; expected a name of its own.")
        arms[str(name)] = read_images(folder, own)
    return paired(arms)


def _cosines(arms: Mapping[str, ImageTable], encoder: Encoder) -> dict[str, NDArray[Any]]:
    prompts = list(dict.fromkeys(next(iter(arms.values())).prompts))
    texts = unit_rows(encoder.encode_texts(prompts), "prompts", dtype=np.float32)
    row = {prompt: i for i, prompt in enumerate(prompts)}
    found = {}
    for name, table in arms.items():
        vectors, _ = image_vectors(table.pictures, encoder, progress(f"fidelity {name or 'images'}"))
        cosines = np.full(len(table), np.nan)
        known = ~np.isnan(vectors).any(axis=1)
        if known.any():
            unit = unit_rows(vectors[known], "image vectors", dtype=np.float32)
            own = texts[[row[prompt] for prompt in table.prompts]][known]
            cosines[known] = np.einsum("nd,nd->n", unit.astype(np.float64), own.astype(np.float64))
        found[name] = cosines
    return found


def _settings(
    setting: Setting, judge: Judge, unpaired: int, least: float, fidelity: Encoder | None, audited: Any,
    notes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    first = setting.first
    by_arm = {
        name or "before": {
            "fingerprint": table.fingerprint,
            "missing_files": sum(path is None for path in table.files),
            "files_without_a_row": table.extra,
            "broken": {"count": len(part.broken), "first": [list(b) for b in part.broken[:20]]},
            "labels_without_image": part.without_image,
            "images_without_label_row": part.without_label,
            "below_confidence": {a: answer.unsure for a, answer in part.answers.items()},
        }
        for name, table in setting.arms.items()
        for part in (setting.labels[name],)
    }
    return {
        "images": {
            "count": len(first), "prompts": len(set(first.prompts)), "unpaired_left_out": unpaired,
            "kinds": {kind: len(setting.rows(kind)) for kind in ("neutral", "explicit")}, "arms": by_arm,
        },
        "judge": judge.describe() | {"notes": list(notes), "least_confidence": least},
        "groups": {name: list(labels) for name, labels in setting.groups.items()},
        "target": {name: goal.describe() for name, goal in setting.targets.items()},
        "confusion": {
            name: {"labels": list(c.labels), "counts": c.counts.tolist(), "condition": c.condition, "n": c.n}
            for name, c in setting.confusions.items()
        },
        "fidelity": None if fidelity is None else fidelity.card.as_dict(),
        "audited": dict(card_of(audited) or {}) or str(audited or ""),
        "statistics": {
            "draws": setting.draws, "level": setting.level, "seed": setting.seed, "smoothing": setting.smoothing,
        },
        "generation": dict(CONVENTIONS),
        "environment": environment(),
    }  # fmt: skip
