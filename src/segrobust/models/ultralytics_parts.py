"""The parts of ultralytics that are used here: the network and plain functions, none of its engine.

Its settings, callbacks, downloads and plots stay unused. It must neither install packages nor look for a network, so
its environment variables are set before it is imported; what the user has set is left alone. It reads the version of
the installed torchvision, but nothing here imports that: one whose operators do not load does no harm.
"""

import os
import warnings

import numpy as np
import torch

for _name, _value in {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}.items():
    os.environ.setdefault(_name, _value)

with warnings.catch_warnings(), np.printoptions():  # it changes both for the whole process
    from ultralytics.data.augment import LetterBox
    from ultralytics.nn.tasks import SegmentationModel
    from ultralytics.utils.nms import TorchNMS
    from ultralytics.utils.ops import process_mask_native, scale_boxes, xywh2xyxy
torch.set_printoptions(profile="default")

__all__ = ["LetterBox", "SegmentationModel", "TorchNMS", "process_mask_native", "scale_boxes", "xywh2xyxy"]
