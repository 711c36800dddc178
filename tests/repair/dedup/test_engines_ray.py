"""A Ray cluster of several nodes that loses one in the middle of a run ends with the bytes of one process."""

import threading
import time

import numpy as np
import pytest

from fairvl.repair.dedup import dedup
from fairvl.sources.store import write_store

SETTINGS = {"threshold": 0.9, "concepts": "group", "clusters": 12, "buckets": 12, "rows_per_part": 60}


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def store(tmp_path, tools):
    x = tools.planted(900, 24, seed=0, spread=0.6)
    group = np.random.default_rng(1).choice(["a", "b"], len(x), p=[0.8, 0.2])
    return write_store(
        tmp_path / "store", ids=[f"{i:032x}" for i in range(len(x))], image_vectors=x, columns={"group": group}
    )


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = pytest.importorskip("ray", reason="ray is not installed (extra: ray)")
    from ray.cluster_utils import Cluster

    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 10}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": health}
    made = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_node_that_dies_in_the_middle_changes_no_byte(store, tmp_path, cluster):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    out, killed = tmp_path / "out", []

    def kill():
        shards = out / ".jobs" / "parts" / "shards"
        while not shards.is_dir() or len(list(shards.glob("*.json"))) < 3:
            time.sleep(0.005)
        cluster.remove_node(nodes[0], allow_graceful=False)
        killed.append(not (out / "keep.parquet").exists())

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    dedup(store, out, engine="ray?retries=5", workers=4, **SETTINGS)
    thread.join(60)
    assert killed == [True], "the node died while there was work left"
    assert len([node for node in cluster.list_all_nodes() if node is not cluster.head_node]) == 1
    dedup(store, tmp_path / "whole", **SETTINGS)
    assert tree(out) == tree(tmp_path / "whole")
