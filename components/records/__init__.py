"""What a row says of itself: its key, where it came from, which models made it, how it failed."""
