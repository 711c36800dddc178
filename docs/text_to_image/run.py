"""Write docs/text-to-image.md and its pictures from the results of the experiment.

python train/world_text_to_image.py --out MODELS --seeds 11 12 13
python train/world_text_to_image_results.py MODELS/seed-11 MODELS/seed-12 MODELS/seed-13 --out RESULTS
python docs/text_to_image/run.py RESULTS
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from fairvl.measure.generation import Confusion, compare_representation, representation
from fairvl.sources.world.text_to_image import FITTING, PLANTED, TESTED, explicit_prompts

HERE = Path(__file__).parent
ROWS = (
    ("base", "nothing", ""),
    ("paper 10", "paper, lam 10", "all"), ("paper 50", "paper, lam 50", "all"),
    ("paper 500", "**paper, lam 500**", "all"), ("paper 5000", "paper, lam 5,000", "all"),
    ("paper 500, held out", "paper, lam 500", "others"),
    ("paper 500, end only", "paper, end-of-text token only", "all"),
    ("paper 500, from end", "paper, from end-of-text on", "all"),
    ("orthogonal (pairs)", "orthogonal projection on the pairs", "all"), ("LEACE", "LEACE", "all"),
    ("middle plane, held out", "middle plane of the mean difference", "others"),
    ("mean of both prompts", "mean of the male and the female prompt", "all"),
    ("random control", "random projection of equal rank (control)", ""),
    ("edit half", "keys and values to the middle (UCE)", "all"),
    ("beyond, held out", "**ours: beyond the middle**", "others"),
    ("edit calibrated, held out", "ours: keys and values, calibrated", "others"),
    ("edit calibrated", "**ours: keys and values, calibrated**", "all"),
    ("sides, held out", "**ours: a side per picture**", "others"),
)  # fmt: skip
GUIDED = (("base", "nothing"), ("paper 500", "paper, lam 500"), ("sides", "ours: a side per picture"))


@dataclass(frozen=True, eq=False)
class Model:
    """What the judge saw of one trained model."""

    name: str
    bits: dict[str, np.ndarray]
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Model:
        with np.load(path, allow_pickle=False) as file:
            return cls(path.stem, {k: file[k] for k in file.files if k != "facts"}, json.loads(str(file["facts"])))

    def female(self, name: str) -> np.ndarray:
        return self.bits[f"{name}|female"].astype(float)

    def gap(self, name: str, most: int | None = None) -> float:
        """Mean of |2F - 1| over the prompts, from the first `most` pictures of each."""
        return float(np.abs(2 * self.female(name)[:, :most].mean(1) - 1).mean())

    def occupation(self, name: str) -> np.ndarray:
        return self.bits[f"{name}|occupation"].mean(1)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def judged(model: Model, name: str, most: int | None = None) -> tuple[list[str], list[str]]:
    """Labels and prompts, a row per picture; the first `most` pictures of each prompt."""
    bits = model.bits[f"{name}|female"][:, :most]
    return [("male", "female")[b] for b in bits.ravel().astype(int)], [j for j in TESTED for _ in range(bits.shape[1])]


def comparison(models: Sequence[Model], confusion: Confusion) -> str:
    """Every repair: gap with an interval over pictures, spread over seeds, and what it costs."""
    rows = []
    for name, label, fitted in ROWS:
        if not all(drawn(m, name) for m in models):
            continue
        gaps = [m.gap(name) for m in models]
        ratios = [m.gap(name) / m.gap("base", m.bits[f"{name}|female"].shape[1]) for m in models]
        inside = []
        for m in models:
            labels, prompts = judged(m, name)
            found = representation(labels, prompts, labels=("male", "female"), confusion=confusion, n_boot=500)
            inside.append(found.mean["parity_gap"])
        means = [m.occupation(name).mean() for m in models]
        worst = min(m.occupation(name).min() for m in models)
        interval = " ".join(f"[{e.low:.2f}, {e.high:.2f}]" for e in inside)
        share = np.mean([m.female(name).mean() for m in models])
        counts = sorted({m.bits[f"{name}|female"].shape[1] for m in models})
        number = " to ".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))
        cost = f"{np.mean(means):.3f} / {worst:.2f}"
        rows.append([label, fitted, number, spread(gaps), interval, f"{np.mean(ratios):.2f}", f"{share:.2f}", cost])
    head = ("repair", "pairs of", "n", "gap: mean (range over training seeds)", "95 % interval of each seed",
            "after / before", "mean F", "occupation: mean / worst")  # fmt: skip
    return table(head, rows)


def per_occupation(models: Sequence[Model]) -> str:
    shown = ("base", "paper 500", "paper 500, held out", "beyond, held out", "edit calibrated",
             "sides, held out")  # fmt: skip
    shown = tuple(name for name in shown if all(drawn(m, name) for m in models))
    rows = []
    for place, job in enumerate(TESTED):
        cells = [" ".join(f"{m.female(name)[place].mean():.2f}" for m in models) for name in shown]
        rows.append([job, f"{PLANTED[job]:.1f}", *cells])
    return table(("occupation", "planted", *shown), rows)


def planted(models: Sequence[Model]) -> str:
    rows = []
    for m in models:
        off = np.abs(m.female("base").mean(1) - [PLANTED[j] for j in TESTED])
        also = "not drawn"
        if drawn(m, "base, fitting"):
            other = np.abs(m.female("base, fitting").mean(1) - [PLANTED[j] for j in FITTING])
            also = f"{other.mean():.3f} / {other.max():.3f}"
        places = m.facts["positions"]
        low, high = [places[j] for j in TESTED[:4]], [places[j] for j in TESTED[4:]]
        rows.append([m.name, f"{off.mean():.3f} / {off.max():.3f}", also,
                     f"{min(low):.2f} to {max(low):.2f}", f"{min(high):.2f} to {max(high):.2f}"])  # fmt: skip
    head = ("model", "tested, mean / largest deviation", "fitting only", "text position of 10 % occupations",
            "of 90 % occupations")  # fmt: skip
    return table(head, rows)


def paired(models: Sequence[Model], confusion: Confusion) -> str:
    """After minus before on the same prompts and seeds."""
    rows = []
    for name in ("paper 500", "paper 500, held out", "beyond, held out", "edit calibrated", "sides, held out"):
        for m in (m for m in models if drawn(m, name)):
            before, prompts = judged(m, "base", m.bits[f"{name}|female"].shape[1])
            after, _ = judged(m, name)
            found = compare_representation(
                before, after, prompts, labels=("male", "female"), confusion=confusion, n_boot=1000
            ).difference.mean["parity_gap"]
            rows.append([name, m.name, f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"])
    return table(("repair", "model", "change of the mean gap, 95 %"), rows)


def drawn(model: Model, name: str) -> bool:
    return f"{name}|female" in model.bits or (name.endswith("bypass") and not model.facts["touched"])


def shown(model: Model, name: str) -> np.ndarray:
    """Explicit prompts: what a bypass leaves bit for bit was not drawn again."""
    if not name.endswith("bypass"):
        return model.female(f"explicit {name}")
    women = model.female("explicit base").copy()
    if touched := model.facts["touched"]:
        women[touched] = model.female(f"explicit {name}")
    return women


def explicit(models: Sequence[Model]) -> str:
    prompts = explicit_prompts()
    wanted = np.array([p.expected == "female" for p in prompts])
    literal = np.array([p.literal for p in prompts])
    rows = []
    for name in ("base", "paper 500", "paper 500, bypass", "beyond, bypass", "edit calibrated"):
        if not all(drawn(m, f"explicit {name}") for m in models):
            continue
        right = [(shown(m, name) == wanted[:, None]).mean(1) for m in models]
        rows.append([name, spread([r.mean() for r in right]), spread([r[literal].mean() for r in right]),
                     spread([r[~literal].mean() for r in right]), f"{min(r.min() for r in right):.2f}"])  # fmt: skip
    head = ("repair", f"all {len(prompts)}", f"{literal.sum()} with a literal word", f"{(~literal).sum()} without",
            "worst prompt")  # fmt: skip
    return table(head, rows)


def bypassed(models: Sequence[Model]) -> str:
    rows = []
    for m in models:
        kept, neutral = np.array(list(m.facts["kept"].values())), np.array(list(m.facts["kept neutral"].values()))
        rows.append([m.name, f"{(kept >= 1).sum()} of {len(kept)}", f"{(kept < 0.5).sum()}",
                     f"{(neutral <= 0).sum()} of {len(neutral)}", f"{(neutral >= 0.5).sum()}"])  # fmt: skip
    head = ("model", "explicit prompts left bit for bit", "repaired by mistake", "neutral prompts fully repaired",
            "left by mistake")  # fmt: skip
    return table(head, rows)


def guided(models: Sequence[Model]) -> str:
    rows = []
    for name, label in GUIDED:
        first = {"sides": "sides, held out"}.get(name, name)
        cells = [spread([m.gap(first) for m in models])]
        for guidance in (2, 5):
            key = f"{name}, guidance {guidance}"
            if not all(drawn(m, key) for m in models):
                cells.append("not drawn")
                continue
            gaps, jobs = [m.gap(key) for m in models], [m.occupation(key) for m in models]
            cells.append(f"{spread(gaps)}; job {np.mean(jobs):.2f} / {min(j.min() for j in jobs):.2f}")
        rows.append([label, *cells])
    return table(("repair", "guidance 1", "guidance 2", "guidance 5"), rows)


def sheets(model: Model, folder: Path) -> list[str]:
    """Eight pictures of each tested occupation, before and after: the same noise in the same place."""
    made = []
    for name in ("base", "paper 500", "beyond, held out", "edit calibrated", "sides, held out"):
        if not drawn(model, name):
            continue
        pictures = model.bits[f"{name}|pictures"]
        rows = np.concatenate([np.concatenate(list(row), axis=1) for row in pictures])
        file = f"{name.replace(', ', '-').replace(' ', '-')}.png"
        sheet = Image.fromarray(rows).quantize(128)
        sheet.resize((rows.shape[1] * 2, rows.shape[0] * 2), Image.Resampling.NEAREST).save(
            folder / file, optimize=True
        )
        made.append(file)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--page", type=Path, default=HERE.parent / "text-to-image.md")
    arguments = parser.parse_args()
    models = [Model.read(path) for path in sorted(arguments.results.glob("seed-*.npz"))]
    judge = json.loads((HERE / "judge.json").read_text())
    counts = np.column_stack([np.array(judge["reconstructed"]), [0, 0]])
    confusion = Confusion(counts, ("male", "female"), "gender")
    sheets(models[0], HERE)
    environment = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
                              autoescape=False)  # noqa: S701  # fmt: skip
    page = environment.get_template("page.md.j2").render(
        models=models, judge=judge, planted=planted(models), comparison=comparison(models, confusion),
        per_occupation=per_occupation(models), paired=paired(models, confusion), explicit=explicit(models),
        bypassed=bypassed(models), guided=guided(models), strengths=[m.facts["strength"] for m in models],
    )  # fmt: skip
    arguments.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
