"""Trains the models of the tiny world from nothing: ``python -m tinyworld.train --out FOLDER``."""
