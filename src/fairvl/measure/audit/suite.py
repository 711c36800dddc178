"""What an audit asks: association tests, zero-shot tasks, retrieval bank, probes and harm labels, as one small file.

A suite is data with a version. It names banks for its texts and *attributes* for its images: an attribute says how a
dataset may call its column and spell its values, so that one suite runs on a folder labelled ``sex: F/M`` and on one
labelled ``gender: woman/man``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import BankError
from ...fingerprints import fingerprint
from ...sources.documents import check_keys, read_document
from ...sources.prompts import Bank, load_bank

Order = Literal["text-text", "image-image", "image-text", "text-image"]


@dataclass(frozen=True)
class TextSet:
    """Stimuli that are texts: prompts, with the base word of each (the unit of resampling)."""

    name: str
    texts: tuple[str, ...]
    words: tuple[int, ...]

    @property
    def n_words(self) -> int:
        return len(set(self.words))


@dataclass(frozen=True)
class ImageSet:
    """Stimuli that are the images of one group."""

    name: str
    attribute: str
    value: str


@dataclass(frozen=True)
class Association:
    """One association test: target sets x and y, attribute sets a and b."""

    test: str
    category: Literal["social", "control"]
    attribute: str
    x: TextSet | ImageSet
    y: TextSet | ImageSet
    a: TextSet | ImageSet
    b: TextSet | ImageSet

    @property
    def order(self) -> Order:
        target, attribute = (("text" if isinstance(s, TextSet) else "image") for s in (self.x, self.a))
        return f"{target}-{attribute}"  # type: ignore[return-value]


@dataclass(frozen=True)
class Classification:
    """One zero-shot task: the classes of an attribute, each described by prompts; `top` are the k of its accuracy."""

    task: str
    attribute: str
    classes: tuple[str, ...]
    prompts: tuple[TextSet, ...]
    top: tuple[int, ...] = ()


@dataclass(frozen=True)
class Retrieval:
    """Neutral queries whose top ranks are held against a target distribution."""

    attributes: tuple[str, ...]
    queries: tuple[TextSet, ...]
    k_share: float
    k_max: int
    target: str


@dataclass(frozen=True)
class Leakage:
    """Texts labelled by an attribute, for the linear probe; the image side uses the dataset's own labels."""

    attribute: str
    texts: tuple[TextSet, ...]


@dataclass(frozen=True)
class Harm:
    """Harm labels that compete with real ones in a zero-shot choice."""

    bank: str
    labels: tuple[TextSet, ...]
    real: tuple[TextSet, ...]


@dataclass(frozen=True)
class Attribute:
    """How a dataset may call an attribute and spell its values.

    Results are shown by group for `sensitive` attributes (and for columns that the suite does not know); `numeric`
    ones are trends, not groups.
    """

    name: str
    columns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    sensitive: bool = False
    numeric: bool = False


@dataclass(frozen=True)
class Suite:
    """A compiled suite; `fingerprint` covers the file and every bank it names.

    `unit` names a column of the data whose rows belong together (scenes of one scenario, photographs of one person):
    they fall into the same half and the same fold, and association tests resample and permute them whole.
    """

    id: str
    version: int
    attributes: Mapping[str, Attribute]
    associations: tuple[Association, ...]
    classifications: tuple[Classification, ...]
    retrieval: Retrieval | None
    leakages: tuple[Leakage, ...]
    harms: tuple[Harm, ...]
    banks: Mapping[str, str]
    fingerprint: str
    unit: str = ""

    def texts(self) -> tuple[str, ...]:
        """Every distinct text of the suite, in order of first use."""
        sets: list[TextSet] = []
        for test in self.associations:
            sets += [s for s in (test.x, test.y, test.a, test.b) if isinstance(s, TextSet)]
        for task in self.classifications:
            sets += task.prompts
        if self.retrieval:
            sets += self.retrieval.queries
        for leak in self.leakages:
            sets += leak.texts
        for harm in self.harms:
            sets += harm.labels + harm.real
        return tuple(dict.fromkeys(text for s in sets for text in s.texts))


def load_suite(name: str | Path = "core") -> Suite:
    """Compile a shipped suite (by name) or a file (``.toml``).

    Raises
    ------
    BankError
        No such suite, a malformed file, an unknown key, or a bank or set that does not exist.

    Examples
    --------
    >>> suite = load_suite("core")
    >>> suite.id, len(suite.associations) >= 12
    ('core-v1', True)
    """
    document, place, folder = read_document(name, "suite", __package__, "suites")
    return _Compiler(place, folder or Path()).compile(document)


def with_classes(suite: Suite, bank: str | Path | Bank, *, attribute: str = "", top: tuple[int, ...] = (1, 5)) -> Suite:
    """The suite with one more zero-shot task: every set of a bank is a class, its prompts the class's prompts.

    Parameters
    ----------
    suite : Suite
    bank : Bank, name of a shipped one, or a ``.toml`` file
        Class names and templates.
    attribute : str
        Column of the data that holds the class; default the bank's own ``attribute``.
    top : tuple of int
        The k of top-k accuracy.

    Raises
    ------
    BankError
        Neither the bank nor `attribute` names a column, or the bank has fewer than two sets.

    Examples
    --------
    >>> suite = with_classes(load_suite("utility"), "zero-shot-occupation")
    >>> suite.classifications[-1].attribute, len(suite.classifications[-1].classes)
    ('occupation', 8)
    """
    loaded = bank if isinstance(bank, Bank) else load_bank(bank)
    column = attribute or loaded.attribute
    if not column or len(loaded.sets) < 2:
        raise BankError(
            f"bank {loaded.id!r} has {len(loaded.sets)} sets and attribute {column!r}; expected two classes or more, "
            "and the column that holds the class (attribute = in the bank, or attribute=)."
        )
    prompts = tuple(TextSet(name, (p := loaded.prompts(name)).texts, p.words) for name in loaded.sets)
    task = Classification(loaded.id, column, tuple(loaded.sets), prompts, top)
    spelled = {name: (name,) for name in loaded.sets}
    known = {column: Attribute(column, (column.lower(),), spelled)} | dict(suite.attributes)
    banks = {**suite.banks, loaded.id: loaded.fingerprint}
    kept = tuple(old for old in suite.classifications if old.task != task.task)
    return replace(
        suite, attributes=known, classifications=(*kept, task), banks=banks,
        fingerprint=fingerprint({"suite": suite.fingerprint, "classes": [loaded.fingerprint, column, list(top)]}),
    )  # fmt: skip


_KEYS = {"id", "version", "about", "unit", "attribute", "association", "classification", "retrieval", "leakage", "harm"}


class _Compiler:
    """Resolves the names of one suite file; keeps the banks it has loaded."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.banks: dict[str, Bank] = {}

    def compile(self, document: Mapping[str, Any]) -> Suite:
        check_keys(document, _KEYS, self.name)
        try:
            attributes = {name: self.attribute(name, row) for name, row in document.get("attribute", {}).items()}
            associations = tuple(self.association(row) for row in document.get("association", ()))
            classifications = tuple(self.classification(row) for row in document.get("classification", ()))
            retrieval = self.retrieval(document["retrieval"]) if "retrieval" in document else None
            leakages = tuple(
                Leakage(row["attribute"], tuple(self.text_set(s) for s in row["texts"]))
                for row in document.get("leakage", ())
            )
            harms = tuple(self.harm(row) for row in document.get("harm", ()))
            identity, version, unit = str(document["id"]), int(document["version"]), str(document.get("unit", ""))
        except (KeyError, TypeError) as error:
            raise BankError(f"{self.name}: a row is incomplete or malformed ({error!r}).") from None
        named = {t.attribute for t in associations if t.attribute} | {
            s.attribute for t in associations for s in (t.x, t.y, t.a, t.b) if isinstance(s, ImageSet)
        }
        if missing := (named | {c.attribute for c in classifications}) - set(attributes):
            raise BankError(f"{self.name}: attributes {sorted(missing)} have no [attribute.NAME] section.")
        banks = {name: bank.fingerprint for name, bank in sorted(self.banks.items())}
        return Suite(
            identity, version, attributes, associations, classifications, retrieval, leakages, harms,
            banks, fingerprint({"suite": document, "banks": banks}), unit,
        )  # fmt: skip

    def bank(self, name: str) -> Bank:
        if name not in self.banks:
            local = self.folder / name
            self.banks[name] = load_bank(local if name.endswith(".toml") and local.is_file() else name)
        return self.banks[name]

    def text_set(self, reference: str) -> TextSet:
        bank_name, colon, set_name = reference.rpartition(":")
        if not colon:
            raise BankError(f"{self.name}: {reference!r} names no set; expected 'bank:set'.")
        prompts = self.bank(bank_name).prompts(set_name)
        return TextSet(set_name, prompts.texts, prompts.words)

    def stimuli(self, reference: str) -> TextSet | ImageSet:
        kind, space, rest = reference.partition(" ")
        if kind == "images" and space:
            attribute, equals, value = rest.partition("=")
            if not equals:
                raise BankError(f"{self.name}: {reference!r}; expected 'images ATTRIBUTE=VALUE'.")
            return ImageSet(value, attribute, value)
        return self.text_set(reference)

    def attribute(self, name: str, row: Mapping[str, Any]) -> Attribute:
        values = {value: tuple(spellings) for value, spellings in row.get("values", {}).items()}
        columns = tuple(row.get("columns", (name,)))
        return Attribute(name, columns, values, bool(row.get("sensitive", False)), bool(row.get("numeric", False)))

    def association(self, row: Mapping[str, Any]) -> Association:
        x, y, a, b = (self.stimuli(row[side]) for side in "xyab")
        if type(x) is not type(y) or type(a) is not type(b):
            raise BankError(f"{self.name}, test {row['test']!r}: x and y (and a and b) must be of one modality.")
        if row["category"] not in ("social", "control"):
            raise BankError(f"{self.name}, test {row['test']!r}: category must be 'social' or 'control'.")
        return Association(row["test"], row["category"], row.get("attribute", ""), x, y, a, b)

    def classification(self, row: Mapping[str, Any]) -> Classification:
        classes = tuple(row.get("classes") or self.bank(row["bank"]).sets)
        prompts = tuple(self.text_set(f"{row['bank']}:{name}") for name in classes)
        top = tuple(row.get("top", ()))
        if not all(isinstance(k, int) and not isinstance(k, bool) and k > 0 for k in top):
            raise BankError(f"{self.name}, task {row['task']!r}: top = {list(top)}; expected whole numbers, as [1, 5].")
        return Classification(row["task"], row["attribute"], classes, prompts, tuple(dict.fromkeys(top)))

    def retrieval(self, row: Mapping[str, Any]) -> Retrieval:
        queries: list[TextSet] = []
        for name in self.bank(row["bank"]).sets:
            prompts = self.bank(row["bank"]).prompts(name)
            for code, word in enumerate(prompts.base_words):
                texts = tuple(t for t, w in zip(prompts.texts, prompts.words, strict=True) if w == code)
                queries.append(TextSet(word, texts, (0,) * len(texts)))
        return Retrieval(
            tuple(row["attributes"]), tuple(queries), float(row["k_share"]), int(row["k_max"]), str(row["target"])
        )

    def harm(self, row: Mapping[str, Any]) -> Harm:
        bank = self.bank(row["bank"])
        categories: dict[str, list[str]] = {}
        for name, chosen in bank.sets.items():
            categories.setdefault(chosen.tags[0] if chosen.tags else name, []).extend(bank.prompts(name).texts)
        labels = tuple(TextSet(name, tuple(texts), tuple(range(len(texts)))) for name, texts in categories.items())
        return Harm(row["bank"], labels, tuple(self.text_set(s) for s in row["real"]))
