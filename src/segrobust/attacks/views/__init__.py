"""What is done to the image before the gradient is taken."""

from segrobust.attacks.views.base import Canvas, View
from segrobust.attacks.views.blocks import BlockShuffle
from segrobust.attacks.views.copies import Admixtures, Copies
from segrobust.attacks.views.noise import UniformNoise
from segrobust.attacks.views.resize_pad import ResizePad
from segrobust.attacks.views.scale import ScaleCopies
from segrobust.attacks.views.similarity import RandomSimilarity, similarity_matrices, warp
from segrobust.attacks.views.spectrum import SpectrumNoise
from segrobust.attacks.views.structure import StructureChanges

__all__ = [
    "Admixtures",
    "BlockShuffle",
    "Canvas",
    "Copies",
    "RandomSimilarity",
    "ResizePad",
    "ScaleCopies",
    "SpectrumNoise",
    "StructureChanges",
    "UniformNoise",
    "View",
    "similarity_matrices",
    "warp",
]
