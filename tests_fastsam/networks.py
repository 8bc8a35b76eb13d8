"""A network with random weights whose answers are worth comparing: many different masks, on every photo."""

from collections.abc import Callable

import torch
from contract import make_photo
from torch import Tensor, nn

from segrobust.models.geometry import to_tensor
from segrobust.models.ultralytics_parts import SegmentationModel


def random_network(seed: int = 0) -> nn.Module:
    """yolov8n-seg with one class, as FastSAM has it.

    Fresh weights find nothing: every signal fades on its way. So the batch norms are set to what flows through, and the
    last layers of the head are scaled so that confidences, boxes and masks differ from place to place.
    """
    torch.manual_seed(seed)
    model: nn.Module = SegmentationModel("yolov8n-seg.yaml", nc=1, verbose=False)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a plain mean of what follows
    photos = torch.stack([to_tensor(make_photo((256, 256), seed).pixels) for seed in range(4)])
    noise = torch.rand(photos.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.train()(0.7 * photos + 0.3 * noise)
        model.eval()
        for convolutions, spread in (
            (model.model[-1].cv2, 3.0),
            (model.model[-1].cv3, 1.0),
            (model.model[-1].cv4, 1.0),
        ):
            for convolution in convolutions:
                _spread_output(convolution[-1], spread, lambda: model(photos))
    return model


def _spread_output(convolution: nn.Conv2d, spread: float, run: Callable[[], object]) -> None:
    """Scale and shift weights until the outputs have mean 0 and this standard deviation."""
    outputs: list[Tensor] = []
    hook = convolution.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    run()
    hook.remove()
    factor = spread / outputs[0].std()
    convolution.weight.mul_(factor)
    convolution.bias.sub_(outputs[0].mean()).mul_(factor)
