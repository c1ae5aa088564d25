"""tfdl: the deep-learning course as working software, on TensorFlow and Keras 3."""

import os

# TensorFlow turns oneDNN on by itself on newer processors alone. On older ones training
# is a third faster with it, and without it grouped convolutions have no gradient.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
