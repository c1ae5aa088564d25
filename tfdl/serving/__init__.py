"""The embedded server, which answers TensorFlow Serving's clients."""
