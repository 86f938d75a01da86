"""How good and how fast masks are: the field's measures, scores of sequences, tables. Knows no ROS."""

from .measures import boundary_f, j_and_f, jaccard
from .sequence import FrameScore, PartScores, SequenceScores, score_sequence

__all__ = [
    "FrameScore",
    "PartScores",
    "SequenceScores",
    "boundary_f",
    "j_and_f",
    "jaccard",
    "score_sequence",
]
