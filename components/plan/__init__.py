"""What a run will take before it runs: time, memory and storage, from a cost model."""
