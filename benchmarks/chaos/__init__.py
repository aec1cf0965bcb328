"""A run whose processes are killed at random, and what is left of it: see ``__main__``."""
