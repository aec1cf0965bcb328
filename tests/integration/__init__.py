"""Whole runs on a real Ray, a real S3 server and real processes that are killed."""
