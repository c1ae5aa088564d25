import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.export import freezing
from tfdl.export.formats import tflite
from tfdl.tasks.classification import ensemble, postprocess
from tfdl.training import inference

NUM_CLASSES = 4
PICTURES = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)


def member(name="cifar_resnet20", *, seed, num_classes=NUM_CLASSES, size=16):
    """Build a model whose norms and classifier are those of no other."""
    keras.utils.set_random_seed(seed)
    model = BACKBONES[name]((size, size, 3), num_classes, width=0.25)
    random = np.random.default_rng(seed)
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.3, 1.5, w.shape) for w in weights])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([random.normal(0, 0.3, w.shape) for w in weights])
    return model


@pytest.fixture(scope="module")
def members():
    """Two of one architecture and one of another."""
    return [member(seed=1), member(seed=2), member("resnet18", seed=3)]


def mean_answer(models, pictures, *, multi_label):
    """Average in NumPy, in float64."""
    answers = []
    for model in models:
        logits = np.float64(model(pictures, training=False))
        if multi_label:
            answers.append(1 / (1 + np.exp(-logits)))
        else:
            powers = np.exp(logits - logits.max(-1, keepdims=True))
            answers.append(powers / powers.sum(-1, keepdims=True))
    return np.mean(answers, axis=0)


def constant(*logits):
    """Build a model that always answers the same."""
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.Flatten()(inputs)
    bias = keras.initializers.Constant(logits)
    outputs = keras.layers.Dense(
        len(logits), kernel_initializer="zeros", bias_initializer=bias
    )(x)
    return keras.Model(inputs, outputs)


def answer(models, *, multi_label):
    model = ensemble.averaged(models, multi_label=multi_label)
    return model(np.zeros((1, 2, 2, 1), "float32")).numpy()[0]


def test_the_logits_are_the_logarithm_of_a_hand_computed_mean():
    models = [constant(0.0, np.log(3.0)), constant(0.0, 0.0)]
    # (1/4 + 1/2) / 2 and (3/4 + 1/2) / 2
    expected = np.log([0.375, 0.625])
    np.testing.assert_allclose(answer(models, multi_label=False), expected, rtol=1e-6)


def test_the_logits_of_labels_are_those_of_a_hand_computed_mean():
    models = [constant(np.log(3.0), 0.0), constant(0.0, 0.0)]
    # (3/4 + 1/2) / 2 = 5/8, whose odds are 5 to 3, and 1/2
    expected = [np.log(5 / 3), 0.0]
    found = answer(models, multi_label=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("multi_label", [False, True])
def test_members_that_are_sure_leave_no_infinity_or_nan(multi_label):
    found = answer([constant(300.0, -300.0)] * 2, multi_label=multi_label)
    gap = 600.0 if not multi_label else 300.0
    expected = [0.0, -gap] if not multi_label else [gap, -gap]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    torn = [constant(300.0, -300.0), constant(-300.0, 300.0)]
    found = answer(torn, multi_label=multi_label)
    halves = [0.0, 0.0] if multi_label else [np.log(0.5)] * 2
    np.testing.assert_allclose(found, halves, atol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_probabilities_are_the_mean_of_the_members(members, multi_label):
    model = ensemble.averaged(members, multi_label=multi_label)
    logits = model(PICTURES, training=False)
    assert logits.dtype == tf.float32
    found = postprocess.postprocess(logits, multi_label=multi_label)
    expected = mean_answer(members, PICTURES, multi_label=multi_label)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected) > 0.01


def test_members_keep_their_weights_and_share_none(members):
    before = [weight for model in members for weight in model.get_weights()]
    model = ensemble.averaged(members, multi_label=False)
    assert model.count_params() == sum(each.count_params() for each in members)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    after = [weight for model in members for weight in model.get_weights()]
    for ours, theirs in zip(before, after, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_member_answers_alone(members):
    model = ensemble.averaged(members[:1], multi_label=False)
    found = keras.ops.softmax(model(PICTURES, training=False))
    expected = keras.ops.softmax(members[0](PICTURES, training=False))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_layer_that_is_called_twice_is_copied_once():
    inputs = keras.Input((4, 4, 3))
    twice = keras.layers.Conv2D(3, 1, name="twice")
    x = keras.layers.GlobalAveragePooling2D()(twice(twice(inputs)))
    models = [keras.Model(inputs, x)] * 2
    model = ensemble.averaged(models, multi_label=False)
    assert model.count_params() == 2 * twice.count_params()
    pictures = PICTURES[:, :4, :4]
    np.testing.assert_allclose(
        keras.ops.softmax(model(pictures)),
        mean_answer(models, pictures, multi_label=False),
        atol=1e-6,
    )


def test_members_in_bfloat16_are_averaged_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    low = member(seed=4)
    keras.config.set_dtype_policy("float32")
    models = [low, member(seed=5)]
    model = ensemble.averaged(models, multi_label=False)
    assert model.get_layer("member1_stem_conv").compute_dtype == "bfloat16"
    logits = model(PICTURES, training=False)
    assert logits.dtype == tf.float32
    expected = mean_answer(models, PICTURES, multi_label=False)
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)


def test_an_evaluation_finds_the_features_of_a_member(members):
    model = ensemble.averaged(members, multi_label=False)
    logits, features = inference.compiled(model, features=True)(PICTURES)
    assert logits.shape == (3, NUM_CLASSES)
    assert features.shape[0] == 3


@pytest.mark.parametrize(
    "other", [{"num_classes": 5}, {"size": 24}], ids=["classes", "pictures"]
)
def test_models_of_other_shapes_are_refused(members, other):
    with pytest.raises(errors.UsageError, match="of one shape"):
        ensemble.averaged([members[0], member(seed=1, **other)], multi_label=False)
    with pytest.raises(errors.UsageError, match="Received none"):
        ensemble.averaged([], multi_label=False)


def exported(infer):
    """Build the signatures of an export."""
    names = tuple("abcd")
    return postprocess.signatures(
        infer, names, image_shape=(16, 16, 3), multi_label=False
    )


def test_a_saved_model_of_five_equals_the_averaged_predictions(tmp_path):
    models = [member(seed=seed) for seed in range(5)]
    infer = inference.compiled(ensemble.averaged(models, multi_label=False))
    frozen = freezing.freeze(infer)
    tf.saved_model.save(tf.Module(), tmp_path, signatures=exported(frozen))
    answer = tf.saved_model.load(tmp_path).signatures["serve_tensor"]
    found = answer(images=tf.constant(PICTURES))["probabilities"]
    expected = mean_answer(models, PICTURES, multi_label=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = {node.op for node in infer_nodes(frozen)}
    assert "FusedBatchNormV3" not in kinds
    assert "ReadVariableOp" not in kinds


def infer_nodes(function):
    spec = [tf.TensorSpec([None, 16, 16, 3], tf.float32)]
    graph = tf.function(function, spec).get_concrete_function().graph.as_graph_def()
    inner = [node for f in graph.library.function for node in f.node_def]
    return [*graph.node, *inner]


def test_a_lite_file_answers_alike(members, tmp_path):
    infer = inference.compiled(ensemble.averaged(members[:2], multi_label=False))
    path = tflite.write(
        tmp_path / "pair",
        infer,
        build=exported,
        examples={"images": tf.constant(PICTURES)},
        measure=None,
        quantization="none",
        calibration=tf.constant(PICTURES),
    )
    assert path.stat().st_size > 0  # written only after it was proved
