"""Long runs that survive being killed: shards, manifests, atomic commits, engines.

A stage is a list of shard specs (JSON values) and one function ``work(spec, folder)`` that writes files.
Whatever it writes appears in the output folder in one step, followed by the shard's manifest with the hashes of
inputs and outputs. A shard is done if and only if its manifest verifies, so the same command finishes a run that
was killed at any moment, with the bytes of an uninterrupted one. `train` keeps the same promise for a training loop,
whose whole run is one shard with checkpoints.
"""

from .job import STATE, Job, open_job
from .run import JobRun, died, progress_bar, run_job
from .share import Share
from .training import Optimisation, TrainingRun, train
from .workers import default_workers, worker_pool

__all__ = [
    "STATE",
    "Job",
    "JobRun",
    "Optimisation",
    "Share",
    "TrainingRun",
    "default_workers",
    "died",
    "open_job",
    "progress_bar",
    "run_job",
    "train",
    "worker_pool",
]
