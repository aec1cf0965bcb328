"""The six steps that compute, and the Ray workers they run on. Each is a function over tables."""

STEPS = ("ingest", "caption", "control", "tune", "sample", "score")
"""In order."""
