"""The steps that compute, one file each, and the Ray workers they run on."""
