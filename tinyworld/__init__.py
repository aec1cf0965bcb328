"""The embedded default: a drawn world of captioned clips, and small models trained on it.

README.md tells what was trained how, and how good it is.
"""
