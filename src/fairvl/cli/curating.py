"""Verbs that repair data: dedup, captions."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .group import FOLDER, INTERRUPTED, example, fail, main, target_shares, with_json, with_seed


@main.command(
    epilog=example(
        "fairvl dedup store --keep 0.5 --concepts gender -o pruned",
        "fairvl dedup store --keep 0.5 --concepts zero-shot-gender,zero-shot-age_group --encoder NAME -o pruned",
        "fairvl dedup store --keep 0.5 --policy semdedup -o published",
        "fairvl dedup new --threshold 0.9 --against store --kept pruned -o pruned-new",
        "fairvl dedup store --threshold 0.95 --policy quality --quality aesthetic -o pruned",
    )
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--keep", type=float, default=None, help="Share of rows to keep, such as 0.5.")
@click.option("--threshold", type=float, default=None, help="Or: the cosine above which rows are duplicates.")
@click.option(
    "--policy",
    type=click.Choice(["fair", "semdedup", "fairdedup", "quality", "random"]),
    default="fair",
    show_default=True,
    help="Which of several duplicates stays.",
)
@click.option("--concepts", help="Columns of the store whose groups are held to the target; with --encoder: banks.")
@click.option("--encoder", help="The encoder that made the store; it encodes the prompts of the banks in --concepts.")
@click.option("--gate", default="person-gate", show_default=True, help="Bank that says who concepts apply to; or none.")
@click.option("--target", default="population", show_default=True, help="population, uniform, or LABEL=SHARE,...")
@click.option("--quality", help="Column that --policy quality ranks by, higher is better.")
@click.option("--labels", help="Columns that the audit looks at beside --concepts, comma-separated.")
@click.option("--thumbnails", help="Dataset of the pictures: example pairs in the audit then show them.")
@click.option("--against", type=click.Path(path_type=Path), help="A store that is kept already; needs --threshold.")
@click.option("--kept", type=click.Path(path_type=Path), help="Keep list, or folder of the run, of --against.")
@click.option("--ledger", default="cluster", show_default=True, help="cluster, rounds(n) or global.")
@click.option("--clusters", type=click.IntRange(1), default=None, help="Number of clusters.  [default: by cost]")
@click.option("--centroids", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Centroids (.npy).")
@click.option("--buckets", type=click.IntRange(1), default=None, help="Pieces that are compared independently.")
@click.option("--kind", type=click.Choice(["image", "text"]), default="image", show_default=True)
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2).")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0 is this one.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of keep list, audit and all that resumes.")
@with_seed
@with_json
def dedup(
    store: Path, keep: float | None, threshold: float | None, policy: str, concepts: str | None, encoder: str | None,
    gate: str, target: str, quality: str | None, labels: str | None, thumbnails: str | None,
    against: Path | None, kept: Path | None, ledger: str, clusters: int | None, centroids: Path | None,
    buckets: int | None, kind: str, engine: str, workers: int, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Drop semantic duplicates of STORE and say what that did to every group; killed, the same command goes on."""
    from ..findings import Findings
    from ..repair.dedup import dedup as run
    from ..repair.dedup import moved_shares
    from ..sources.store import EmbeddingStore

    opened = EmbeddingStore.open(store)
    names = [name for name in (labels or "").split(",") if name]
    try:
        result = run(
            opened, out, keep=keep, threshold=threshold, policy=policy, concepts=concepts, encoder=encoder,
            gate=None if gate == "none" else gate, thumbnails=thumbnails, target=target_shares(target), quality=quality,
            against=(against, kept) if against is not None and kept is not None else against,
            labels={name: opened.columns(name).tolist() for name in names}, ledger=ledger, kind=kind,
            clusters=clusters, centroids=centroids, buckets=buckets, engine=engine, workers=workers, seed=seed,
        )  # fmt: skip
    except KeyboardInterrupt:
        fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo((out / "findings.json").read_text(encoding="utf-8"))
    for name in ("concepts_note", "against_note"):
        if note := result.settings.get(name):
            click.echo(str(note), err=True)
    click.echo(f"{result.describe()}; see {out / 'keep.parquet'}", err=True)
    held = policy == "fair" and concepts and target == "population"
    if held and (moved := moved_shares(Findings.read(out / "findings.json"))):
        click.echo(moved, err=True)


@main.command(
    epilog=example(
        "fairvl captions 'parquet:coco.parquet?id=sentence_id' --image image_id -o neutral",
        "fairvl captions 'webdataset:{00000..00099}.tar' --engine shard:0/8 -o neutral",
        "fairvl captions captions.csv --mask '[MASK]' -o masked",
    )
)
@click.argument("dataset")
@click.option("--lexicon", default="gender-en", show_default=True, help="gender-en, race-en, age-en, or a .toml file.")
@click.option("--mask", "masked", metavar="TOKEN", help="Write this token instead of neutral words.")
@click.option("--parser", help="spaCy pipeline that settles doubtful words, such as spacy:en_core_web_sm.")
@click.option("--image", help="Column that names the image of a caption: several captions then give its group.")
@click.option("--agreeing", type=click.IntRange(1), default=3, show_default=True, help="Captions that decide a group.")
@click.option("--label", help="Column of a group label: captions shifted by one against it are refused.")
@click.option("--id", "id_column", help="Column of ids in a table file.  [default: id]")
@click.option("--caption", "caption_column", help="Column of captions in a table file.  [default: caption]")
@click.option("--rows-per-shard", type=click.IntRange(1), default=50_000, show_default=True, help="Captions per shard.")
@click.option("--sample", type=click.IntRange(0), default=100, show_default=True, help="Changes in sample.tsv.")
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2).")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0 is this one.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of captions, changes and summary.")
@with_seed
@with_json
def captions(
    dataset: str, lexicon: str, masked: str | None, parser: str | None, image: str | None, agreeing: int,
    label: str | None, id_column: str | None, caption_column: str | None, rows_per_shard: int, sample: int,
    engine: str, workers: int, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Rewrite the captions of DATASET in neutral words and say what changed; killed, the same command goes on."""
    from ..repair.captions import captions as run

    try:
        result = run(
            dataset, out, lexicon=lexicon, masked=masked, parser=parser, image=image, agreeing=agreeing, label=label,
            id=id_column, caption=caption_column, rows_per_shard=rows_per_shard, sample=sample, engine=engine,
            workers=workers, seed=seed,
        )  # fmt: skip
    except KeyboardInterrupt:
        fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo(json.dumps(result.summary, ensure_ascii=False))
    click.echo(f"{result.describe()}; see {out}", err=True)
