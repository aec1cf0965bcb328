"""The structure distance of PnPInversion's table, its normalisation's fault included.

Source: PnPInversion at 07f97f4, evaluation/matrics_calculator.py; FiVE has the same. Only for
    comparison with their figures: ``structure_v1`` is the measure that they mean.
Model: as ``structure_v1``.
Resizing: likewise.
Frames: likewise.
Pairs: likewise.
Aggregation: likewise, but levels of 0 to 255 go into ImageNet's normalisation, so that the network
    sees images some 255 times too bright.
Range: 0 to 4000.
Direction: lower is better.
Null: as ``structure_v1``.
"""

from __future__ import annotations

import functools

from eval.judges import DINO_VITB8
from eval.protocols.evidence import Evidence
from eval.protocols.protocol import Metric, Protocol
from eval.structure import structure_distance


def _distance(evidence: Evidence) -> float:
    see = functools.partial(evidence.judges.named(DINO_VITB8).see, unit=False)
    name = f"{DINO_VITB8} of 0 to 255"
    source, edit = (clip.made(name, see) for clip in (evidence.source, evidence.edit))
    return 1000 * structure_distance(source, edit)


PROTOCOL = Protocol(
    name="pnpinversion_structure_v1",
    source="PnPInversion at 07f97f4: structure distance by DINO ViT-B/8 on levels of 0 to 255, to "
    "compare with figures made so.",
    measures={
        "structure_distance": Metric(
            label="Structure distance (0 to 255), ×10⁻³",
            short="structure",
            lower_is_better=True,
            of=_distance,
        )
    },
    judges=(DINO_VITB8,),
    reads_source=True,
)
