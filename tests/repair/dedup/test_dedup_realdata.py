"""Near-duplicates among real input: product vectors of MobileCLIP2, scenes embedded by MobileNet."""

import numpy as np
import pytest

from fairvl.repair.dedup import neighbours, promises, select

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def products(realdata):
    path = realdata / "mobileclip2-product-embeddings" / "embeddings.npz"
    if not path.is_file():
        pytest.skip("real data missing: mobileclip2-product-embeddings")
    x = np.load(path, allow_pickle=False)["image"].astype(np.float64)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("filtering", ["off", "auto", 63])
@pytest.mark.parametrize(("threshold", "pairs"), [(0.95, 96), (0.90, 450)])
def test_the_known_number_of_pairs(products, threshold, pairs, filtering):
    assert len(neighbours(products, threshold=threshold, filter=filtering).pairs()) == pairs


@pytest.mark.parametrize("threshold", [0.90, 0.95])
def test_float16_storage_with_the_exact_rows_changes_no_decision(products, threshold):
    exact = neighbours(products, threshold=threshold).pairs()
    stored = neighbours(products.astype(np.float16), threshold=threshold, exact=products).pairs()
    assert np.array_equal(exact, stored)


def test_every_dropped_product_has_a_kept_duplicate(products):
    found = neighbours(products, threshold=0.9)
    keep = select(found)
    assert [len(rows) for rows in promises(keep.kept, found)] == [0, 0]
    assert 0.7 < keep.reached < 0.9


@pytest.fixture(scope="module")
def scenes(realdata):
    """Unit vectors of 200 scenes, 50 of them with four persons each, and who is in them."""
    import csv
    import io
    import zipfile

    from PIL import Image

    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    model = realdata / "mobilenet-tflite" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    folder = realdata / "pairs-images"
    if not (model.is_file() and folder.is_dir()):
        pytest.skip("real data missing: mobilenet-tflite or pairs-images")
    net = interpreter.Interpreter(model_path=str(model), num_threads=1)
    net.allocate_tensors()
    entry, out = net.get_input_details()[0]["index"], net.get_output_details()[0]
    with (folder / "images.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    vectors = []
    with zipfile.ZipFile(folder / "pairs.zip") as archive:
        for row in rows:
            image = Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB").resize((224, 224))
            net.set_tensor(entry, np.asarray(image, np.uint8)[None])
            net.invoke()
            vectors.append(net.get_tensor(out["index"]).reshape(-1).astype(np.float32) - out["quantization"][1])
    groups = np.array([f"{row['race']} {row['gender'].replace('man1', 'man')}" for row in rows])
    return np.stack(vectors), groups, np.array([row["scenario"] for row in rows])


def test_near_duplicates_are_scenes_that_differ_in_the_person(scenes):
    vectors, groups, scenario = scenes
    pairs = neighbours(vectors, threshold=0.85).pairs()
    assert len(pairs) > 100
    assert (scenario[pairs[:, 0]] == scenario[pairs[:, 1]]).mean() > 0.95
    assert (groups[pairs[:, 0]] != groups[pairs[:, 1]]).all()


@pytest.mark.parametrize("keep", [0.5, 0.25])
def test_dedup_does_not_remove_a_group(scenes, keep):
    vectors, groups, _ = scenes
    found = neighbours(vectors, threshold=0.5)
    shares = {}
    for policy in ("fair", "semdedup"):
        kept = select(found, policy=policy, keep=keep, concepts=groups).kept
        shares[policy] = np.array([(groups[kept] == name).mean() for name in np.unique(groups)])
    assert len(shares["fair"]) == 4
    assert np.abs(shares["fair"] - 0.25).max() <= 0.02
    assert np.abs(shares["semdedup"] - 0.25).max() > 0.04, "the published rule moves them"
