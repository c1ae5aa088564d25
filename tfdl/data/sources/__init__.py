"""Where examples come from: one file for each format, which knows no task."""
