"""Agreement with the official Tune-A-Video code, by its recorded tensors."""
