"""The judge of an audit of images: what it is, that it is not the model under audit, and what it confuses."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....errors import DatasetError, InputError
from ....fingerprints import file_hash
from ....sources.datasets import Dataset, load_dataset, read_table
from ....sources.datasets.table import SUFFIXES, require_column
from ....sources.encoders import Encoder, load_encoder
from ....stats.codes import as_text, natural_key
from ...generation import Confusion, confusion_matrix
from .labelling import (
    Labels,
    class_banks,
    labels_from_encoder,
    labels_from_functions,
    labels_from_table,
    refuse_same,
    refuse_shared,
)
from .table import ImageTable

JUDGED = "_judged"
NAMED = re.compile(r"[a-z_]{2,}:")


class Judge:
    """The judge as the user gave it: a table for each arm, an encoder with its classes, or functions by attribute."""

    def __init__(self, kind: str, source: Any, attributes: Any) -> None:
        self.kind, self.source, self.attributes = kind, source, attributes

    @classmethod
    def of(cls, labeller: Any, attributes: Any, arms: Mapping[str, ImageTable]) -> Judge:
        if labeller is None:
            raise InputError(
                "no labeller; expected a table of labels, an encoder for zero-shot labels, or a function of a picture."
            )
        if isinstance(labeller, str) and not is_table(labeller):
            labeller = load_encoder(labeller)
        if isinstance(labeller, Encoder):
            return cls("encoder", labeller, class_banks(("gender",) if attributes is None else attributes))
        named = list(attributes) if attributes is not None else None
        if callable(labeller):
            if named is None:
                raise InputError(
                    "one function as the judge, and nothing says which attribute its labels are of. Name it with "
                    "attributes=['gender'], or give several as {attribute: function}."
                )
            if len(named) != 1:
                raise InputError(f"one function for the attributes {named}; expected {{attribute: function}}.")
            return cls("functions", {named[0]: labeller}, named)
        if isinstance(labeller, Mapping) and labeller and all(callable(value) for value in labeller.values()):
            return cls("functions", dict(labeller), named)
        if (
            isinstance(labeller, Mapping)
            and labeller
            and all(isinstance(value, (str, Path, Mapping)) for value in labeller.values())
        ):
            tables = {"" if name == "before" else str(name): value for name, value in labeller.items()}
            if lost := [name or "before" for name in arms if name not in tables]:
                raise InputError(f"labels for {list(labeller)}; expected also those of {lost}.")
            return cls("table", tables, named)
        if isinstance(labeller, (str, Path, Mapping)):
            refuse_shared(arms, labeller)
            return cls("table", dict.fromkeys(arms, labeller), named)
        raise InputError(
            f"the labeller is a {type(labeller).__name__}; expected a table of labels (path or columns), an encoder, a "
            "function of a picture, or functions by attribute."
        )

    def label(self, arm: str, table: ImageTable) -> Labels:
        """The answers for one arm."""
        if self.kind == "table":
            return labels_from_table(table, self.source[arm], self.attributes, arm=arm)
        return self.pictures(table.pictures, f"judge {arm or 'images'}")

    def pictures(self, pictures: Sequence[Any], told: str) -> Labels:
        """The answers for any pictures; a table has none."""
        if self.kind == "encoder":
            return labels_from_encoder(pictures, self.source, self.attributes, progress(told))
        return labels_from_functions(pictures, self.source, progress(told))

    def describe(self) -> dict[str, Any]:
        """What the settings say of the judge."""
        if self.kind == "encoder":
            banks = {name: [bank.id, bank.fingerprint] for name, bank in self.attributes.items()}
            return {"kind": "zero-shot", "encoder": self.source.card.as_dict(), "classes": banks,
                    "probabilities": "softmax of 100 x cosine, not calibrated"}  # fmt: skip
        if self.kind == "functions":
            return {"kind": "function", "attributes": list(self.source)}
        files = {
            name or "before": [Path(source).name, file_hash(source)] if not isinstance(source, Mapping) else "columns"
            for name, source in self.source.items()
        }
        return {"kind": "labels given", "tables": files}


def is_table(name: Path | str) -> bool:
    """Whether a name is the file of a table, and not that of an encoder or a dataset (``prefix:...``)."""
    return str(name).lower().endswith(SUFFIXES) and not (isinstance(name, str) and NAMED.match(name))


def check_judges(judge: Judge, fidelity: Encoder | None, audited: Any, allow: bool) -> list[str]:
    """What to note about the judges; one whose card is that of the model under audit is refused."""
    judges = [("judge", judge.source)] if judge.kind == "encoder" else []
    judges += [("fidelity encoder", fidelity)] if fidelity is not None else []
    if judges and isinstance(audited, str):
        audited = load_encoder(audited)
    notes = [refuse_same(role, encoder.card, card_of(audited), allow) for role, encoder in judges]
    return [note for note in notes if note]


def card_of(audited: Any) -> Mapping[str, Any] | None:
    """The card of an encoder, a card or its plain values; None for a name or nothing."""
    if isinstance(audited, Mapping):
        return audited
    card = getattr(audited, "card", audited)
    return card.as_dict() if hasattr(card, "as_dict") else None


def name_of(audited: Any) -> str:
    """What to call the model under audit."""
    card = card_of(audited)
    return str(card.get("name", "")) if card is not None else str(audited or "")


def sure_labels(labels: Labels, least: float) -> Labels:
    """The same without the answers below the least confidence."""
    return replace(labels, answers={name: answer.sure(least) for name, answer in labels.answers.items()})


def confusions_of(truth: Any, judge: Judge, names: Sequence[str], least: float) -> dict[str, Confusion]:
    """What the judge confuses, by attribute; empty without a truth set."""
    if truth is None:
        return {}
    if isinstance(truth, Mapping) and all(isinstance(value, Confusion) for value in truth.values()):
        return {name: replace(value, name=name) for name, value in truth.items() if name in names}
    if isinstance(truth, Mapping) or (isinstance(truth, (str, Path)) and is_table(truth)):
        where = "truth" if isinstance(truth, Mapping) else Path(truth).name
        table = dict(truth) if isinstance(truth, Mapping) else dict(read_table(truth))
        chosen = [name for name in names if name in table and name + JUDGED in table]
        if not chosen:
            require_column(table, names[0], where=where)
            require_column(table, names[0] + JUDGED, where=where)
        return {
            name: confusion_matrix([as_text(v) for v in table[name]], [as_text(v) for v in table[name + JUDGED]],
                                   name=name)
            for name in chosen
        }  # fmt: skip
    if judge.kind == "table":
        raise InputError(
            "a table of labels cannot judge the truth set; give truth as a table with the columns "
            f"{names[0]!r} and {names[0] + JUDGED!r}."
        )
    return _judged_truth(load_dataset(str(truth)) if isinstance(truth, (str, Path)) else truth, judge, names, least)


def _judged_truth(dataset: Dataset, judge: Judge, names: Sequence[str], least: float) -> dict[str, Confusion]:
    records = list(dataset)
    labels = sure_labels(judge.pictures([(r.id, r.image) for r in records], "judge truth"), least)
    found = {}
    for name in names:
        real = [as_text(record.attributes.get(name)) for record in records]
        if any(label is not None for label in real):
            answer = labels.answers[name]
            known = sorted({*answer.groups, *(label for label in real if label is not None)}, key=natural_key)
            found[name] = confusion_matrix(real, list(answer.labels), labels=known, name=name)
    if not found:
        raise DatasetError(f"{dataset.name}: no labels of {list(names)}; a truth set says who each image shows.")
    return found


def progress(told: str) -> Callable[[Any], Iterable[Any]]:
    """A progress bar on standard error, quiet when that is no terminal."""

    def bar(items: Any) -> Iterable[Any]:
        from tqdm import tqdm

        shown: Iterable[Any] = tqdm(items, desc=told, unit="image", disable=not sys.stderr.isatty())
        return shown

    return bar
