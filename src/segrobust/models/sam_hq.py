"""SAM-HQ: SAM with a further token for masks of finer detail (Ke et al. 2023, arXiv 2306.01567)."""

from typing import Any, cast

from torch import Tensor

from segrobust.models.base import Embedding
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD
from segrobust.models.loading import ModelFolder
from segrobust.models.options import LoadOptions
from segrobust.models.preprocessing import read_frame, square_side
from segrobust.models.pretrained import load_complete
from segrobust.models.prompt_tokens import sparse_tokens
from segrobust.models.sam import SamSegmenter
from segrobust.models.sam_hq_decoder import decode_hq
from segrobust.models.shield import hide_broken_torchvision

hide_broken_torchvision()

from transformers import SamHQModel  # noqa: E402


class SamHQSegmenter(SamSegmenter):
    """A SAM-HQ behind the ``WhiteBox`` interface; its parts are SAM's, and so are its input and its prompts.

    The decoder also looks at what the encoder's first block with global attention gives. Each mask's logits are the
    sum of SAM's and those of the high-quality token, as the authors' predictor has them by default.

    With ``multimask`` the three masks come in the network's order, not sorted. The authors' predictor returns only the
    one with the highest predicted IoU, which is the answer to the rule ``best``.
    """

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        out = cast(Any, self._vision)(inputs)
        return out.last_hidden_state, tuple(out.intermediate_embeddings[:1])

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        return decode_hq(
            self._decoder,
            embedding.features.to(self.dtype),
            embedding.extra[0].to(self.dtype),
            self._position,
            self._dense,
            sparse_tokens(self._prompts, points, boxes)[0].to(self.dtype),
            multimask,
        )


def load_sam_hq(folder: ModelFolder, options: LoadOptions) -> SamHQSegmenter:
    """A transformers ``SamHQModel``, from a folder or the hub.

    Raises:
        ModelError: weights or configuration are missing or do not fit.
    """
    model = load_complete(folder, SamHQModel)
    side = square_side(cast(SamHQModel, model).prompt_encoder.input_image_size, f"{folder.source}/config.json")
    return SamHQSegmenter(
        model,
        folder.name,
        options,
        frame=read_frame(folder, Frame(side, SAM_MEAN, SAM_STD)),
        everything=folder.everything(),
        fingerprint=folder.digest(),
    )
