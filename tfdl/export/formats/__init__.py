"""Writes models for other runtimes than TensorFlow, each with its parity beside it."""
