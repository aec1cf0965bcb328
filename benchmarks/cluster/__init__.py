"""How busy a pipeline keeps a cluster of simulated GPUs: real Ray, real rows, computation asleep."""
