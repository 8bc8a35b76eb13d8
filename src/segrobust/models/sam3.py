"""SAM 3's head for points and boxes on single photos (Carion et al. 2025, arXiv 2511.16719); no text prompts."""

from segrobust.models.loading import ModelFolder
from segrobust.models.options import LoadOptions
from segrobust.models.pretrained import load_complete
from segrobust.models.sam2 import Sam2Segmenter, wrap
from segrobust.models.shield import hide_broken_torchvision

hide_broken_torchvision()

from transformers import Sam3TrackerModel  # noqa: E402

SAM3_MEAN = SAM3_STD = (0.5, 0.5, 0.5)


def load_sam3(folder: ModelFolder, options: LoadOptions) -> Sam2Segmenter:
    """The tracker of a SAM 3 checkpoint (its own, or out of the whole model), from a folder or the hub.

    It has SAM 2's parts: the head and the pyramid are the tracker's, the ViT is the one it shares with the detector.
    Published at 1008 px with patches of 14, so the embedding is 72 x 72 and a mask 288 x 288.

    Where we differ from transformers: its image model (5.23) adds the constant for "no memory" to the pyramid's fourth
    level, which it then drops. Here it goes to the third, the embedding, as in the authors' predictor and in
    transformers' own video model.

    Raises:
        ModelError: weights or configuration are missing or do not fit.
    """
    return wrap(folder, load_complete(folder, Sam3TrackerModel), options, SAM3_MEAN, SAM3_STD)
