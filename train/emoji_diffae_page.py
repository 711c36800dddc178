"""Write the tables of docs/editing-emoji.md from docs/editing/emoji.json.

python train/emoji_diffae_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- figures of editing/emoji.json -->", "<!-- end of figures -->"
NO_COLOURS, BACK = "flip by the grey judge", "worst way back"
KINDS = ("real drawings", "inverted", "code alone")
Row = dict[str, Any]


def rate(estimate: list[float]) -> str:
    """A share with its interval: ``.93 (.90-.96)``."""
    value, low, high = (f"{v:.2f}".removeprefix("0") if v < 1 else "1.00" for v in estimate)
    return f"{value} ({low}-{high})"


def distance(estimate: list[float]) -> str:
    value, low, high = estimate
    digits = 4 if abs(high) < 0.01 else 3
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def way_back(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


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
                for name in ("a", "b", "grey")
                for key in ("gender", "skin")
            ],
        ),
        "Edits, scored by judge b on its half, at the strength that judge a chose on the other (95 % Wilson):",
        table(["edit", "field", "n", "strength", "flip", NO_COLOURS, "other kept", "concept kept", BACK], edits(found)),
        "The same at every length, by judge b; *nearer* is the change of the mean squared distance to the true "
        "counterfactual:",
        table(["edit", "field", "length", "flip", "other kept", "concept kept", "nearer"], curves(found)),
        "Mean squared distance to the true counterfactual drawing, of the same edits (95 % bootstrap over concepts):",
        table(["edit", "field", "unedited", "edited", "change", "share nearer"], nearer(found)),
        "References on judge b's half: nothing edited; the true counterfactual's code with the source's noise; and "
        "what the judges read off the true drawing itself, which no edit can be expected to pass:",
        table(["edit", "reference", "flip", NO_COLOURS, "other kept", "concept kept", "change"], references(found)),
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
            strength, back = f"{scored['strength']:+g}", way_back(cell["way back"]["worst"])
            flips = [rate(scored["flip"]), rate(cell["flip seen without colours"])]
            rows.append([edit, field, str(cell["n"]), strength, *flips, *kept, back])
    return rows


def curves(found: Row) -> list[list[str]]:
    rows = []
    for edit in found["references"]:
        for field, cells in found["fields"].items():
            for one in cells[edit]["curve of b"]:
                kept = [rate(one["kept"][key]) for key in (other(edit), "concept")]
                rows.append([edit, field, f"{one['strength']:+g}", rate(one["flip"]), *kept, distance(one["change"])])
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
            flips = [rate(cell["flip"]), rate(cell["flip seen without colours"])]
            rows.append([edit, kind, *flips, *kept, distance(way["change"]) if way else ""])
    return rows


def main() -> None:
    page = DOCS / "editing-emoji.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    found = json.loads((DOCS / "editing" / "emoji.json").read_text(encoding="utf-8"))
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{tables(found)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
