"""The paper's ablation (arXiv 2212.11565, Fig. 8 and 13), measured where the truth is known.

``python -m eval.ablation --out runs/ablation`` edits the tiny world's clips with the whole method
and with each of its parts left out. README.md one folder up says what came of it.
"""
