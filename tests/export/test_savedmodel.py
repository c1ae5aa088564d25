import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.export import savedmodel

IMAGES = np.random.RandomState(0).rand(5, 4).astype("float32")
LABELS = {"labels.txt": "cat\ndog\n"}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
    return keras.Model(inputs, keras.layers.Dropout(0.5)(x))


@pytest.fixture(scope="module")
def signatures(model):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="images")])
    def answer(images):
        return {"scores": model(images, training=False)}

    return {"serving_default": answer}


def write(base, model, signatures, assets=LABELS):
    return savedmodel.write(base, model, signatures=signatures, assets=assets)


def names(base):
    return sorted(path.name for path in base.iterdir())


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, signatures):
    base = tmp_path_factory.mktemp("exports") / "a näme with spaces"
    return write(base, model, signatures)


def test_the_first_version_is_1_and_nothing_lies_beside_it(written):
    assert written.name == "1"
    assert names(written.parent) == ["1"]


def test_any_number_of_rows_is_answered_as_the_model_does(written, model):
    answer = tf.saved_model.load(str(written)).signatures["serving_default"]
    for count in (1, 5):
        scores = answer(images=tf.constant(IMAGES[:count]))["scores"]
        expected = model.predict(IMAGES[:count], verbose=0)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_weight_of_one_input_is_the_answer_to_it(written, model):
    """With zero elsewhere, the answer is a row of the kernel through the norm."""
    answer = tf.saved_model.load(str(written)).signatures["serving_default"]
    scores = answer(images=tf.constant([[0.0, 1.0, 0.0, 0.0]]))["scores"][0]
    kernel = model.get_weights()[0]
    np.testing.assert_allclose(scores, kernel[1] / np.sqrt(1 + 1e-3), rtol=1e-5)


def test_assets_are_there_for_the_graph_and_for_people(written):
    for folder in ("assets", "assets.extra"):
        assert (written / folder / "labels.txt").read_text() == "cat\ndog\n"


def test_a_model_without_assets_is_written_too(tmp_path, model, signatures):
    assert write(tmp_path, model, signatures, assets={}).is_dir()


def test_the_next_version_is_one_more_than_the_largest(tmp_path, model, signatures):
    for name in ("2", "9", "10", "latest", ".tmp-11-1"):
        (tmp_path / name).mkdir()
    assert write(tmp_path, model, signatures).name == "11"
    assert write(tmp_path, model, signatures).name == "12"


FAILURES = [
    (OSError(28, "No space left on device"), errors.ResourceError),
    (tf.errors.ResourceExhaustedError(None, None, "disk"), errors.ResourceError),
    (KeyboardInterrupt(), KeyboardInterrupt),
]


@pytest.mark.parametrize(("failure", "raised"), FAILURES)
@pytest.mark.parametrize("moment", ["save", "assets"])
def test_a_failure_half_way_leaves_no_version(
    tmp_path, model, signatures, monkeypatch, failure, raised, moment
):
    (tmp_path / "1").mkdir()
    save, write_texts = tf.saved_model.save, savedmodel._write_texts

    def fail_after_saving(*arguments, **options):
        save(*arguments, **options)
        raise failure

    def fail_at_the_second_call(folder, texts):
        write_texts(folder, texts)
        if folder.name == "assets.extra":
            raise failure

    if moment == "save":
        monkeypatch.setattr(tf.saved_model, "save", fail_after_saving)
    else:
        monkeypatch.setattr(savedmodel, "_write_texts", fail_at_the_second_call)
    with pytest.raises(raised):
        write(tmp_path, model, signatures)
    assert names(tmp_path) == ["1"]


def test_a_place_that_tensorflow_cannot_load_from_is_refused(
    tmp_path, model, signatures
):
    with pytest.raises(errors.UsageError, match="cannot load a model from a path"):
        write(tmp_path / "lr[0.1]", model, signatures)
    assert not names(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path, model, signatures):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.ResourceError, match=str(tmp_path / "file" / "1")):
        write(tmp_path / "file", model, signatures)
