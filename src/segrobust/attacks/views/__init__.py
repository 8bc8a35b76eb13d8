"""What is done to the image before the gradient is taken."""

from segrobust.attacks.views.base import Canvas, View
from segrobust.attacks.views.scale import ScaleCopies
from segrobust.attacks.views.similarity import RandomSimilarity, similarity_matrices, warp

__all__ = ["Canvas", "RandomSimilarity", "ScaleCopies", "View", "similarity_matrices", "warp"]
