"""Run the experiment on trained models: every repair on the same prompts and seeds; what the judge saw goes to a file.

    python train/world_text_to_image_results.py FOLDER... --out RESULTS

One file a model, `RESULTS/seed-11.npz`: bits for every picture. `docs/text_to_image/run.py` makes the tables of them.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from world_text_to_image_drawer import Drawer, Seen
from world_text_to_image_repairs import (
    Pairs,
    Repair,
    along,
    bypass,
    calibrated,
    leace,
    mean_of_both,
    on_tokens,
    orthogonal,
    sides,
)  # fmt: skip

from fairvl.atomic import write_atomic
from fairvl.repair.debias import random_control
from fairvl.repair.debias.pipelines import edit_cross_attention
from fairvl.sources.world.text_to_image import FITTING, OCCUPATIONS, TESTED, Prompt, explicit_prompts, neutral_prompts

CALIBRATION = 30  # pictures a prompt


class Pictures(NamedTuple):
    """Pictures a prompt."""

    main: int
    side: int
    explicit: int
    guided: int


STAGES = (Pictures(60, 12, 4, 8), Pictures(200, 24, 8, 24), Pictures(200, 60, 20, 60))
"""All conditions with few pictures first, then more: an interrupted run has something of everything."""
STRENGTHS = (1.0, 2.0, 3.0)
FIRST, SHIFT = 2.0, 0.3  # where the shift is calibrated
KNOWN = 7  # nouns of each side that the bypass is fitted on; it is tested on the others too


class Experiment:
    def __init__(self, folder: Path, out: Path, scale: float = 1.0) -> None:
        self.drawer, self.out, self.scale, self.pictures = Drawer(folder), out, scale, STAGES[0]
        self.all, self.fitting = Pairs(self.drawer, OCCUPATIONS), Pairs(self.drawer, FITTING)
        self.tested = neutral_prompts()
        self.bits: dict[str, np.ndarray] = {}
        self.facts: dict[str, Any] = {}
        if out.exists():
            self.load()

    def n(self, pictures: int) -> int:
        """An even number, so that both sides are equally often drawn."""
        return max(4, 2 * round(pictures * self.scale / 2))

    def see(
        self,
        name: str,
        repair: Repair | None,
        n: int,
        *,
        prompts: Sequence[Prompt] | None = None,
        guidance: float = 1.0,
    ) -> None:
        """Draw what is missing of `n` pictures a prompt, judge it, keep it."""
        prompts, texts = self.tested if prompts is None else prompts, []
        have = self.bits[f"{name}|female"].shape[1] if f"{name}|female" in self.bits else 0
        if have >= self.n(n):
            return
        texts = [p.text for p in prompts]
        states = None if repair is None else repair(self.drawer.states(texts), texts)
        if states is not None and states.ndim == 4:
            states = states[:, have : self.n(n)]
        seen = self.drawer.see(prompts, states, n=self.n(n) - have, start=have, guidance=guidance)
        self.keep(name, seen)

    def keep(self, name: str, seen: Seen) -> None:
        parts = {"female": seen.female.astype(bool)}
        if not np.isnan(seen.right_occupation).any():
            parts["occupation"] = seen.right_occupation.astype(bool)
        for kind, new in parts.items():
            old = self.bits.get(f"{name}|{kind}", new[:, :0])
            self.bits[f"{name}|{kind}"] = np.concatenate([old, new], axis=1)
        if len(seen.prompts) == len(TESTED) and f"{name}|pictures" not in self.bits:
            self.bits[f"{name}|pictures"] = seen.pictures[:, :8]
        shares = self.bits[f"{name}|female"].mean(1)
        says = f"{name:34s} n {self.bits[f'{name}|female'].shape[1]} gap {np.abs(2 * shares - 1).mean():.3f}"
        if "occupation" in parts:
            right = self.bits[f"{name}|occupation"].mean(1)
            says += f" F {shares.mean():.2f} job {right.mean():.3f}/{right.min():.2f}"
        print(says, shares.round(2).tolist()[:8], flush=True)
        self.save()

    def save(self) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, facts=json.dumps(self.facts), **self.bits)
        write_atomic(self.out, buffer.getvalue())

    def load(self) -> None:
        with np.load(self.out, allow_pickle=False) as file:
            self.facts = json.loads(str(file["facts"]))
            self.bits = {name: file[name] for name in file.files if name != "facts"}

    def calibrate_beyond(self, pairs: Pairs) -> tuple[float, float]:
        """Strength and shift that balance the fitting occupations: the shift by one secant step, then a short grid."""
        prompts = neutral_prompts(FITTING)
        texts = [p.text for p in prompts]
        states, n = self.drawer.states(texts), self.n(CALIBRATION)

        def shares(strength: float, shift: float) -> np.ndarray:
            return self.drawer.see(prompts, along(pairs, strength, shift)(states, texts), n=n, seed=7).shares

        low, high = (_logit(shares(FIRST, shift), n).mean() for shift in (0.0, SHIFT))
        shift = float(np.clip(-low / max(high - low, 0.2) * SHIFT, -0.5, 0.5))
        gaps = [float(np.abs(2 * shares(strength, shift) - 1).mean()) for strength in STRENGTHS]
        self.facts["beyond"] = {"shift": shift, "gaps": dict(zip(map(str, STRENGTHS), gaps, strict=True))}
        print(self.facts["beyond"], flush=True)
        return STRENGTHS[int(np.argmin(gaps))], shift

    def edit(self, occupations: Sequence[str], mixes: np.ndarray) -> Any:
        """The closed form on keys and values: occupation i towards (1 - mix) male + mix female."""
        concepts = [p.text for p in neutral_prompts(tuple(occupations))]
        targets = [[f"a photo of a {side} {job}" for side in ("male", "female")] for job in occupations]
        kept = [prompt for target in targets for prompt in target]
        kept += [p.text for p in explicit_prompts(())]
        mix = {concept: (1 - m, m) for concept, m in zip(concepts, mixes.tolist(), strict=True)}
        return edit_cross_attention(
            self.drawer.pipeline, concepts, targets, mix=mix, preserve=kept, preserve_weight=0.2, ridge=1e-3
        )

    def calibrate_mixes(self, occupations: Sequence[str], rounds: int = 2) -> np.ndarray:
        """The mix of each occupation that draws both genders equally often, by secant steps on the logit."""
        prompts = neutral_prompts(tuple(occupations))
        mixes, found = [np.full(len(prompts), 0.5)], []
        for turn in range(rounds):
            edit = self.edit(occupations, mixes[-1])
            shares = self.drawer.see(prompts, n=self.n(CALIBRATION), seed=8 + turn).shares
            edit.restore()
            n = self.n(CALIBRATION)
            found.append(_logit(shares, n))
            slope = np.full(len(prompts), 8.0)
            if turn:
                with np.errstate(divide="ignore", invalid="ignore"):
                    slope = (found[-1] - found[-2]) / (mixes[-1] - mixes[-2])
            slope = np.clip(np.nan_to_num(slope, nan=8.0), 3.0, 30.0)
            mixes.append(np.clip(mixes[-1] - np.clip(found[-1] / slope, -0.5, 0.5), -1.0, 2.0))
        return mixes[-1]

    def edited(self, name: str, occupations: Sequence[str], mixes: np.ndarray, n: int, **options: Any) -> None:
        edit = self.edit(occupations, mixes)
        try:
            self.see(name, None, n, **options)
        finally:
            edit.restore()

    def neutral(self) -> None:
        """All repairs on the tested occupations at guidance 1."""
        drawer = self.drawer
        self.facts["positions"] = dict(zip(OCCUPATIONS, self.all.position([
            p.text for p in neutral_prompts(OCCUPATIONS)]).tolist(), strict=True))  # fmt: skip
        self.see("base", None, self.pictures.main)
        paper, held = calibrated(self.all, 500.0), calibrated(self.fitting, 500.0)
        self.see("paper 500", on_tokens(drawer, paper), self.pictures.main)
        self.see("sides, held out", sides(self.fitting, self.n(self.pictures.main)), self.pictures.main)
        if "strength" not in self.facts:
            self.facts["strength"], self.facts["shift"] = self.calibrate_beyond(self.fitting)
        beyond = along(self.fitting, self.facts["strength"], self.facts["shift"])
        self.see("beyond, held out", beyond, self.pictures.main)
        self.see("paper 500, held out", on_tokens(drawer, held), self.pictures.main)

    def others(self) -> None:
        """The paper's alternatives and controls, fewer pictures each."""
        drawer, paper = self.drawer, calibrated(self.all, 500.0)
        self.see("base, fitting", None, self.pictures.side, prompts=neutral_prompts(FITTING))
        mean = mean_of_both(drawer, list(TESTED))
        self.see("mean of both prompts", lambda *_: mean, self.pictures.side)
        self.see("middle plane, held out", along(self.fitting, 0.0), self.pictures.side)
        self.see("paper 500, end only", on_tokens(drawer, paper, "end"), self.pictures.side)
        self.see("LEACE", on_tokens(drawer, leace(self.all)), self.pictures.side)
        self.see("orthogonal (pairs)", on_tokens(drawer, orthogonal(self.all)), self.pictures.side)
        self.see("random control", on_tokens(drawer, random_control(paper, seed=0)), self.pictures.side)
        for lam in (10.0, 50.0, 5000.0):
            self.see(f"paper {lam:.0f}", on_tokens(drawer, calibrated(self.all, lam)), self.pictures.side)
        self.see("paper 500, from end", on_tokens(drawer, paper, "from_end"), self.pictures.side)

    def edits(self) -> None:
        """The closed form on keys and values."""
        if "mixes" not in self.facts:
            self.facts["mixes"] = dict(zip(OCCUPATIONS, self.calibrate_mixes(OCCUPATIONS).tolist(), strict=True))
        mixes = np.array([self.facts["mixes"][job] for job in OCCUPATIONS])
        self.edited("edit calibrated", OCCUPATIONS, mixes, self.pictures.main)
        self.edited("explicit edit calibrated", OCCUPATIONS, mixes, self.pictures.explicit, prompts=explicit_prompts())
        fitting = np.array([self.facts["mixes"][job] for job in FITTING])
        self.edited("edit calibrated, held out", FITTING, fitting, self.pictures.side)
        self.edited("edit half", OCCUPATIONS, np.full(len(OCCUPATIONS), 0.5), self.pictures.side)

    def explicit(self) -> None:
        """Prompts that name a gender: before, repaired, and repaired with the bypass."""
        drawer, prompts = self.drawer, explicit_prompts()
        texts = [p.text for p in prompts]
        paper = calibrated(self.all, 500.0)
        band = bypass(drawer, paper, OCCUPATIONS, FITTING, KNOWN)
        self.facts["bypass errors"] = {name: [e.value, e.n] for name, e in band.error_rates.items()}
        kept = band.kept(self.all.at_end(texts))
        self.facts["kept"] = dict(zip(texts, kept.tolist(), strict=True))
        self.facts["kept neutral"] = dict(zip((p.text for p in self.tested), band.kept(
            self.all.at_end([p.text for p in self.tested])).tolist(), strict=True))  # fmt: skip
        self.see("explicit base", None, self.pictures.explicit, prompts=prompts)
        self.see("explicit paper 500", on_tokens(drawer, paper), self.pictures.explicit, prompts=prompts)
        touched = [i for i, weight in enumerate(kept) if weight < 1]
        if self.facts.get("touched") != touched:
            self.bits = {name: bits for name, bits in self.bits.items() if ", bypass|" not in name}
        self.facts["touched"] = touched  # the others keep every bit, so they are not drawn again
        beyond = along(self.fitting, self.facts["strength"], self.facts["shift"])
        if touched:
            some = [prompts[i] for i in touched]
            for name, repair in (("paper 500", on_tokens(drawer, paper)), ("beyond", beyond)):
                self.see(
                    f"explicit {name}, bypass", _mixed(repair, kept[touched]), self.pictures.explicit, prompts=some
                )

    def guided(self) -> None:
        paper = on_tokens(self.drawer, calibrated(self.all, 500.0))
        n = self.pictures.guided
        both = sides(self.fitting, self.n(n))
        for guidance in (2.0, 5.0):
            for name, repair in (("base", None), ("paper 500", paper), ("sides", both)):
                self.see(f"{name}, guidance {guidance:g}", repair, n, guidance=guidance)


def _logit(shares: np.ndarray, n: int) -> np.ndarray:
    odds: np.ndarray = np.log((shares * n + 0.5) / ((1 - shares) * n + 0.5))
    return odds


def _mixed(repair: Repair, kept: np.ndarray) -> Repair:
    def mixed(states: np.ndarray, texts: list[str]) -> np.ndarray:
        weight = kept[:, None, None]
        return np.where(weight >= 1, states, (1 - weight) * repair(states, texts) + weight * states)

    return mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the pictures, for a quick look")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in arguments.folders:
        run = Experiment(folder, arguments.out / f"{folder.name}.npz", arguments.scale)
        for run.pictures in STAGES:
            run.neutral()
            run.explicit()
            run.guided()
            run.others()
            run.edits()


if __name__ == "__main__":
    main()
