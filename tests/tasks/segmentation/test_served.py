import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.segmentation import feeding, metrics, postprocess, results, served

TILING = postprocess.Tiling(tile_size=16, overlap=4)
NAMES = ("ground", "thing")


def packed(label_map):
    return tf.io.encode_png(label_map[..., None])


@pytest.fixture
def signatures(infer):
    return postprocess.signatures(infer, tiling=TILING, num_classes=2)


def test_files_and_tensors_have_the_overlap_of_an_evaluation(split, signatures, infer):
    answer = postprocess.compiled_label_maps(infer, TILING, num_classes=2)
    matrices = []
    for number in range(len(split)):
        sample = split.load(tf.constant(number))
        image = tf.cast(sample["image"], tf.float32)[None] * (1 / 255)
        truth, found = sample["semantic"].numpy(), answer(image)[0].numpy()
        matrices.append(metrics.confusion_matrix(truth, found, num_classes=2))
    expected = metrics.brief(np.stack(matrices))
    assert expected["mean_iou"] > 0.9
    tensor = {"serve_tensor": signatures["serve_tensor"]}
    for asked in (signatures, tensor):
        found = served.measure(asked, split)
        assert found["mean_iou"] == pytest.approx(expected["mean_iou"], abs=1e-6)


def test_a_label_map_is_equal_but_for_a_pixel_in_a_thousand():
    own = np.zeros((40, 50), np.uint8)
    doubtful, other = own.copy(), own.copy()
    doubtful[:1, :2], other[:1, :3] = 1, 1
    expected = {"label_map_bytes": tf.stack([packed(own)] * 3)}
    smaller = packed(own[:20])
    found = {"label_map_bytes": tf.stack([packed(doubtful), packed(other), smaller])}
    kept = served.aligned(expected, found, 1e-5)["label_map_bytes"].numpy()
    assert kept[0] == packed(own).numpy()
    assert kept[1] == packed(other).numpy()
    assert kept[2] == smaller.numpy()
    loose = served.aligned(expected, found, 5e-2)["label_map_bytes"].numpy()
    assert loose[1] == packed(own).numpy()


def test_numbers_are_compared_as_they_are():
    answers = {"probabilities": tf.zeros([1, 2, 2, 2])}
    assert served.aligned(answers, answers, 1e-5) is answers


def test_without_data_noise_is_asked_about(infer):
    task = served.task(None, NAMES, TILING, 16, "savedmodel")
    assert task["measure"] is None
    assert task["calibration"].shape == (0, 16, 16, 3)
    functions = task["build"](infer)
    assert set(functions) == set(task["examples"])
    for name, function in functions.items():
        answers = function(**task["examples"][name])
        assert all(len(value) == 4 for value in answers.values())


def test_with_data_examples_are_of_test_and_ranges_of_train(split):
    splits = feeding.Splits(
        {"train": split.take(np.arange(3)), "test": split},
        recipe=None,
        batch_size=2,
        seed=0,
        image_size=16,
        cache_bytes=0,
    )
    task = served.task(splits, NAMES, TILING, 16, "savedmodel")
    assert task["calibration"].shape == (3, 16, 16, 3)
    assert len(task["examples"]["serving_default"]["image_bytes"]) == 4
    assert task["examples"]["serve_tensor"]["images"].shape == (4, 16, 16, 3)
    assert results.unpacked(packed(np.eye(3, dtype=np.uint8)).numpy())[1, 1] == 1
