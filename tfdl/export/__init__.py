"""Writes SavedModels that answer without tfdl."""
