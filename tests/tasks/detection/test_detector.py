import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.detection import detector
from tfdl.training import optimizers


def make(*, penalty=None):
    """Return a detector whose loss is the distance of its output from a number."""
    image = keras.Input((4, 4, 3), name="image")
    mean = keras.layers.GlobalAveragePooling2D()(image)
    last = keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=penalty)
    outputs = {"value": last(mean)}
    return detector.Detector(
        network=keras.Model(image, outputs, name="tiny"),
        targets=lambda objects: {"wanted": objects["weights"]},
        losses=lambda targets, outputs: {
            "near": (outputs["value"][:, 0] - targets["wanted"][:, 0]) ** 2,
            "far": 2 * targets["wanted"][:, 0],
        },
        decode=lambda outputs: {
            "boxes": keras.ops.repeat(outputs["value"][:, None], 4, axis=-1),
            "scores": keras.ops.sigmoid(outputs["value"])[:, None],
        },
        start_losses=lambda targets: {},
        smallest_stride=4,
    )


@pytest.fixture
def batch():
    return tf.ones([2, 4, 4, 3]), {"wanted": tf.constant([[1.0], [2.0]])}


def test_the_loss_is_the_mean_of_the_pictures_sums_and_parts_are_measured(batch):
    model = make().compile(optimizers.optimizer("sgd", 0.0))
    optimizers.build(model)
    logs = model.evaluate(*batch, batch_size=2, verbose=0, return_dict=True)
    # outputs are 3: (3 - 1)^2 and (3 - 2)^2, and 2 and 4
    assert logs["near"] == pytest.approx(2.5)
    assert logs["far"] == pytest.approx(3.0)
    assert logs["loss"] == pytest.approx(5.5)
    names = [metric.name for metric in model.metrics]
    assert sorted(names) == ["far", "loss", "near"]


def test_training_lowers_the_loss(batch):
    model = make().compile(optimizers.optimizer("sgd", 0.05))
    optimizers.build(model)
    history = model.fit(*batch, batch_size=2, epochs=30, verbose=0).history
    assert history["near"][-1] < 0.3 < history["near"][0]


@pytest.mark.parametrize("penalty", [None, keras.regularizers.L2(1.0)])
def test_two_replicas_add_up_to_one(batch, penalty):
    model = make(penalty=penalty).compile(optimizers.optimizer("sgd", 0.0))
    whole = model.compute_loss(*batch, model(batch[0]))
    where = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with where.scope():
        replicated = make(penalty=penalty).compile(optimizers.optimizer("sgd", 0.0))

    def loss(images, wanted):
        outputs = replicated(images)
        return replicated.compute_loss(images, {"wanted": wanted}, outputs)

    def part(context):
        index = context.replica_id_in_sync_group
        return batch[0][index : index + 1], batch[1]["wanted"][index : index + 1]

    parts = [
        where.experimental_distribute_values_from_function(
            lambda context, n=n: part(context)[n]
        )
        for n in range(2)
    ]
    losses = where.run(tf.function(loss), args=parts)
    total = where.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
    np.testing.assert_allclose(total, whole, rtol=1e-6)


def test_the_model_that_answers_shares_the_weights(batch):
    made = make()
    model = made.compile(optimizers.optimizer("sgd", 0.05))
    optimizers.build(model)
    model.fit(*batch, batch_size=2, epochs=3, verbose=0)
    answers = model.inference_model(batch[0])
    np.testing.assert_allclose(
        answers["boxes"][:, 0, 0], model(batch[0])["value"][:, 0], rtol=1e-6
    )
    assert answers["scores"].shape == (2, 1, 1)
    assert model.inference_model.name == "tiny"
