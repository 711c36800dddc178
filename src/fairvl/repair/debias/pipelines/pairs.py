"""Prompt pairs that an operator for a generator is fitted on: from a bank, the world's own, or a table."""

from __future__ import annotations

from pathlib import Path

from ....errors import InputError
from ....sources.datasets.table import read_table
from ....sources.prompts import load_bank

Pairs = tuple[tuple[str, str], ...]


def attribute_pairs(attribute: str = "gender", *, generator: str = "", bank: str | Path | None = None) -> Pairs:
    """Prompts that differ in the attribute alone, for `fit_on_pipeline`.

    Parameters
    ----------
    attribute : str
        For gender the 80 professions of the paper's generative variant ("a photo of a male doctor."), else the pairs of
        the bank ``debias-ATTRIBUTE``.
    generator : str, optional
        ``world:text-to-image`` knows few words and has pairs of its own: the eight occupations that no test draws.
    bank : str or path, optional
        Another bank with pairs.

    Raises
    ------
    BankError
        No such bank.
    InputError
        A bank without pairs, or an attribute that the world does not draw.

    Examples
    --------
    >>> pairs = attribute_pairs("gender")
    >>> len(pairs), pairs[0]
    (80, ('a photo of a male actor.', 'a photo of a female actor.'))
    >>> attribute_pairs("gender", generator="world:text-to-image")[0][0].startswith("a photo of a male ")
    True
    """
    if generator.startswith("world:") and bank is None:
        from ....sources.world.text_to_image import FITTING, gender_pairs

        if attribute != "gender":
            raise InputError(f"attribute {attribute!r}: {generator} draws people by gender alone; expected gender.")
        return gender_pairs(FITTING)
    own = "paper-professions" if attribute == "gender" else f"debias-{attribute}"
    chosen = load_bank(own if bank is None else bank)
    made = chosen.pairs()
    if not made.left:
        raise InputError(f"bank {chosen.id!r} has no pairs, which an operator for a generator is fitted on.")
    return tuple(zip(made.left, made.right, strict=True))


def read_pairs(path: Path | str) -> Pairs:
    """Pairs of a table with the columns ``left`` and ``right``.

    Raises
    ------
    DatasetError
        No such table, or one without these columns.
    InputError
        A side is empty.
    """
    names = ["left", "right"]
    table = read_table(Path(path), required=names, strings=names)
    sides = [["" if value is None else str(value).strip() for value in table[name]] for name in names]
    pairs = tuple(zip(*sides, strict=True))
    if empty := [place for place, pair in enumerate(pairs, start=1) if not all(pair)]:
        raise InputError(f"{path}: row {empty[0]} has an empty side; expected a prompt in left and in right.")
    return tuple((left, right) for left, right in pairs)
