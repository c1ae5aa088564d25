"""Layers and blocks that two or more models are made of."""
