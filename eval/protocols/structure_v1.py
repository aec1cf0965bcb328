"""Structure kept: the distance of DINO's self-similarities (Tumanyan et al., Splice).

Source: Splice (arXiv 2201.00424), as PnPInversion (07f97f4) measures it, but for its normalisation:
    levels are brought within 0 to 1 first, for which ImageNet's mean and deviation are meant.
Model: the judge ``dino_vitb8`` (facebook/dino-vitb8) at the revision in ``scores.score_revision``;
    keys of the last layer, all heads joined, of the class token and all patches.
Resizing: the shorter side to 224 pixels, the longer one to at most 480 (bilinear, antialiased);
    what does not fill a patch is cut off. Position embeddings of another grid than the model's are
    interpolated to the grid's size, where DINO's own code adds 0.1 to it.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip.
Pairs: each frame with the source's; within a frame all tokens with all.
Aggregation: the mean squared difference of the two frames' cosines; the mean over frames, × 1000;
    then means over edits.
Range: 0 to 4000.
Direction: lower is better.
Null: another number of frames, or another shape, than the source's.
"""

from __future__ import annotations

from eval.judges import DINO_VITB8
from eval.protocols.evidence import Evidence
from eval.protocols.protocol import Metric, Protocol
from eval.structure import structure_distance


def _distance(evidence: Evidence) -> float:
    see = evidence.judges.named(DINO_VITB8).see
    source, edit = (clip.made(DINO_VITB8, see) for clip in (evidence.source, evidence.edit))
    return 1000 * structure_distance(source, edit)


PROTOCOL = Protocol(
    name="structure_v1",
    source="Splice (arXiv 2201.00424) by DINO ViT-B/8, as PnPInversion at 07f97f4 but for its "
    "normalisation.",
    measures={
        "structure_distance": Metric(
            label="Structure distance, ×10⁻³", short="structure", lower_is_better=True, of=_distance
        )
    },
    judges=(DINO_VITB8,),
    reads_source=True,
)
