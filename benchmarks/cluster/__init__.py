"""How busy a run keeps simulated GPUs: real Ray, real rows, computation asleep."""
