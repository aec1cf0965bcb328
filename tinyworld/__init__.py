"""The embedded default: small clips drawn by a program, and the small models made for them."""
