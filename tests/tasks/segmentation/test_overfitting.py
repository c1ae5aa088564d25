"""Every network learns two pictures by heart, as its task trains it."""

import keras
import numpy as np
import pytest

from tfdl.tasks.segmentation import metrics, models, segmenter
from tfdl.training import optimizers

SIDE, CLASSES = 64, 3
SMALL = {
    "fcn32s": {"width": 0.125, "dropout_rate": 0.0},
    "fcn16s": {"width": 0.125, "dropout_rate": 0.0},
    "fcn8s": {"width": 0.125, "dropout_rate": 0.0},
    "fcn_resnet50": {"width": 0.25, "backbone": "resnet18"},
    "segnet": {"width": 0.25},
    "unet": {"width": 0.125, "normalization": "batch", "dropout_rate": 0.0},
    "deeplabv3": {"width": 0.25, "backbone": "resnet18"},
    "deeplabv3plus": {"width": 0.25, "backbone": "resnet18"},
    "plain": {"width": 0.5},
    "patch_classifier": {"width": 1.0},
}
# Bilinear scores every 32 pixels miss an edge by a pixel of the 32 to each side.
LEAST = {"fcn32s": 0.96}
# Scores that are enlarged 32, 16 or 8 times draw no finer lines than these.
COARSE = ("fcn32s", "fcn16s", "fcn8s", "fcn_resnet50", "deeplabv3")
STEPS, ROUNDS = 40, 12


def examples(*, is_coarse):
    """Paint two pictures of noise, whose colours say the class; a row is ignored."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((2, SIDE, SIDE), np.uint8)
    if is_coarse:
        labels[0, :32, 32:], labels[1, 32:] = 1, 2
    else:
        labels[0][(rows - 20) ** 2 + (columns - 30) ** 2 < 15**2] = 1
        labels[1][rows > columns + 10] = 2
    colours = np.array([[0.2, 0.3, 0.3], [0.8, 0.4, 0.2], [0.3, 0.5, 0.8]])
    images = colours[labels] + random.normal(0, 0.05, (2, SIDE, SIDE, 3))
    labels[:, -1] = 255
    return np.clip(images, 0, 1).astype(np.float32), labels


def mean_iou(model, images, labels):
    found = model.predict_on_batch(images)["logits"].argmax(axis=-1)
    pairs = zip(labels, found, strict=True)
    matrices = [metrics.confusion_matrix(*pair, num_classes=CLASSES) for pair in pairs]
    return metrics.brief(np.stack(matrices))["mean_iou"]


def test_all_networks_are_tried():
    assert list(SMALL) == list(models.MODELS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_two_pictures_are_learned_by_heart(name):
    keras.utils.set_random_seed(0)
    network = models.MODELS[name]((SIDE, SIDE, 3), CLASSES, **SMALL[name])
    model = segmenter.Objective().compile(network, optimizers.optimizer("adam", 0.003))
    optimizers.build(model)
    images, labels = examples(is_coarse=name in COARSE)
    reached = []
    for _ in range(ROUNDS):
        model.fit(images, {"labels": labels}, batch_size=2, epochs=STEPS, verbose=0)
        reached.append(mean_iou(model.inference_model, images, labels))
        if reached[-1] > LEAST.get(name, 0.99):
            return
    pytest.fail(f"mean IoU {reached}")
