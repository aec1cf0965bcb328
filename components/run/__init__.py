"""A run as a whole: what is there, what is missing, and who computes it."""
