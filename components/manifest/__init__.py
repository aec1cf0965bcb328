"""What to edit: a dataset's videos and edits, read from any format and judged before any work."""
