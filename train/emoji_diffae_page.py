"""Write the tables of docs/editing-emoji.md from docs/editing/emoji.json.

python train/emoji_diffae_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- figures of editing/emoji.json -->", "<!-- end of figures -->"
KINDS = ("real drawings", "inverted", "code alone")
Row = dict[str, Any]


def rate(estimate: list[float]) -> str:
    """A share with its interval: ``.93 (.90-.96)``."""
    value, low, high = (f"{v:.2f}".removeprefix("0") if v < 1 else "1.00" for v in estimate)
    return f"{value} ({low}-{high})"


def distance(estimate: list[float]) -> str:
    value, low, high = estimate
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def tables(found: Row) -> str:
    """Every table of the page."""
    held, again = found["held out"], found["reconstruction"]
    parts = [
        f"Mean squared error of the {held} held-out drawings, pixels in [-1, 1], {found['steps']} steps "
        f"(95 % bootstrap, whole concepts drawn):",
        table(["picture", "error"], [[name, distance(e)] for name, e in again["mse"].items()]),
        f"Shares read right by the judges on the {held} held-out drawings (95 % Wilson):",
        table(
            ["judge", "attribute", *KINDS],
            [
                [name, key, *(rate(again[f"judge {name}"][kind][key]) for kind in KINDS)]
                for name in ("a", "b")
                for key in ("gender", "skin")
            ],
        ),
        "Edits, scored by judge b on its half, at the strength that judge a chose on the other (95 % Wilson):",
        table(["edit", "field", "n", "strength", "flip", "other kept", "concept kept", "worst way back"], edits(found)),
        "Mean squared distance to the true counterfactual drawing, of the same edits (95 % bootstrap over concepts):",
        table(["edit", "field", "unedited", "edited", "change", "share nearer"], nearer(found)),
        "References on judge b's half: nothing edited, and the true counterfactual's own code with the source's noise:",
        table(["edit", "reference", "flip", "other kept", "concept kept", "change of distance"], references(found)),
    ]
    return "\n\n".join(parts)


def other(edit: str) -> str:
    return "gender" if edit.startswith("skin") else "skin"


def edits(found: Row) -> list[list[str]]:
    rows = []
    for edit in found["references"]:
        for field, cells in found["fields"].items():
            cell, scored = cells[edit], cells[edit]["scored by b"]
            kept = [rate(scored["kept"][key]) for key in (other(edit), "concept")]
            strength, back = f"{scored['strength']:+g}", f"{cell['way back']['worst']:.1%}"
            rows.append([edit, field, str(cell["n"]), strength, rate(scored["flip"]), *kept, back])
    return rows


def nearer(found: Row) -> list[list[str]]:
    rows = []
    for edit in found["references"]:
        for field, cells in found["fields"].items():
            way = cells[edit]["scored by b"]["to the true counterfactual"]
            numbers = [distance(way[name]) for name in ("unedited", "edit", "change")]
            rows.append([edit, field, *numbers, rate(way["share nearer"])])
    return rows


def references(found: Row) -> list[list[str]]:
    rows = []
    for edit, kinds in found["references"].items():
        for kind, cell in kinds.items():
            way = cell.get("to the true counterfactual")
            kept = [rate(cell["kept"][key]) for key in (other(edit), "concept")]
            rows.append([edit, kind, rate(cell["flip"]), *kept, distance(way["change"]) if way else ""])
    return rows


def main() -> None:
    page = DOCS / "editing-emoji.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    found = json.loads((DOCS / "editing" / "emoji.json").read_text(encoding="utf-8"))
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{tables(found)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
