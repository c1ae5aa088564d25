"""tfdl: the deep-learning course as working software, on TensorFlow and Keras 3."""
