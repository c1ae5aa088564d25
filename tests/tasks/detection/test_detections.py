import numpy as np

from tfdl.tasks.detection import detections


def test_the_length_is_the_number_of_objects_found():
    found = detections.Detections(
        boxes=np.zeros((3, 4), np.float32),
        scores=np.array([0.9, 0.5, 0.5], np.float32),
        labels=np.array([0, 2, 1], np.int32),
    )
    assert len(found) == 3
