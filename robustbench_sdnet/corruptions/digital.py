"""JPEG compression and pixelation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .parameters import Setting


def jpeg_compression(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """Save as JPEG at a quality and read back.

    On the CPU whatever the device: the bytes are libjpeg-turbo's, as Pillow, OpenCV and torchvision ship it.
    OpenCV has by far the least overhead for small images.
    """
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, int(setting[0])]
    clean = images.cpu().numpy()
    compressed = np.empty_like(clean)
    for source, target in zip(clean, compressed, strict=True):
        encoded = cv2.imencode(".jpg", cv2.cvtColor(source, cv2.COLOR_RGB2BGR), quality)[1]
        target[:] = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(compressed).to(images.device)
