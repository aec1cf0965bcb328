"""Evaluation: metric protocols, the CLIP scorer, aggregates and the report's gallery.

Numbers and frames in, numbers and pages out. Knows nothing of Ray, KFP, S3 or a run's files.
"""
