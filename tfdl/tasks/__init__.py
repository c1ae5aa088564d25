"""One folder for each task, with the same rooms in the same order."""
