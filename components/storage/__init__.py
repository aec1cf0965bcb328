"""Where a run lives: objects on a folder or S3, and Parquet tables whose rows are the commits."""
