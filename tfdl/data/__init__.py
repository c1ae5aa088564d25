"""From files to batches: sources, decoding, augmentation, the pipeline."""
