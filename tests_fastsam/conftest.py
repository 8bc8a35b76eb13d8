"""Defines torchvision's operators before anything imports it, and makes the network that the tests share."""

import os

import pytest
import torchvision_operators

torchvision_operators.define()

from networks import random_network  # noqa: E402

from segrobust.models.fast_sam import FastSam, FastSamSettings  # noqa: E402
from segrobust.models.options import LoadOptions  # noqa: E402

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The engine that the adapter is compared with writes its settings somewhere else than in the user's home."""
    os.environ["YOLO_CONFIG_DIR"] = str(tmp_path_factory.mktemp("ultralytics"))


@pytest.fixture(scope="session")
def fast_sam() -> FastSam:
    """A random yolov8n-seg that finds a few dozen masks on any photo."""
    import torch

    settings = FastSamSettings(predicted_iou_threshold=0.6, image_size=256, max_masks=40)
    return FastSam(random_network(), "random", LoadOptions("cpu", torch.float32), everything=settings)
