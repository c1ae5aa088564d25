"""The peer of the detection benchmarks: keras-cv's YOLOV8Detector, a small one."""

import keras
import keras_cv
import numpy as np
import tensorflow as tf

NAMES = ("Platelets", "RBC", "WBC")
_CHANNELS, _DEPTH = (32, 64, 128, 256), (1, 2, 2, 1)


def build(image_size: int, optimizer: keras.Optimizer) -> keras.Model:
    """Build the detector of three classes, 3.43 M parameters, for pixels in [0, 255].

    Its loss, decoder and layers are the library's own.
    """
    backbone = keras_cv.models.YOLOV8Backbone(
        stackwise_channels=_CHANNELS,
        stackwise_depth=_DEPTH,
        include_rescaling=True,
        input_shape=(image_size, image_size, 3),
    )
    model = keras_cv.models.YOLOV8Detector(
        num_classes=len(NAMES),
        bounding_box_format="xyxy",
        backbone=backbone,
        fpn_depth=1,
    )
    model.compile(
        optimizer=optimizer,
        box_loss="ciou",
        classification_loss="binary_crossentropy",
    )
    return model


def targets(boxes: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Write padded objects as the library takes them: -1 is padding."""
    is_real = labels >= 0
    return {
        "boxes": np.where(is_real[..., None], boxes, -1).astype(np.float32),
        "classes": labels.astype(np.float32),
    }


def detecting(model: keras.Model, *, score: float, iou: float):
    """Compile inference with the library's suppression -> function of pixels."""
    decoder = keras_cv.layers.NonMaxSuppression(
        bounding_box_format="xyxy",
        from_logits=False,
        confidence_threshold=score,
        iou_threshold=iou,
        max_detections=100,
    )
    model.prediction_decoder = decoder
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)

    @tf.function(input_signature=[spec])
    def detect(images):
        return model.decode_predictions(model(images, training=False), images)

    return detect
