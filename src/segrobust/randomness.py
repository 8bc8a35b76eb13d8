"""One seed, many independent named streams.

Everything random in segrobust is drawn from ``stream(seed, *names)``. The names say what the numbers are for
(the photo's fingerprint, the attack, the purpose), so batch size, order, worker count, interruption and
resumption cannot change a number. Nothing else in the package draws, and no global generator is ever touched.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str) -> int:
    """A 63-bit seed that depends on the seed and on every name, and on nothing else.

    Args:
        seed: the user's seed, any integer.
        names: what the stream is for; order matters.
    """
    text = "\x1f".join([str(int(seed)), *names])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))  # a name may come from a file system, with any bytes
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def stream(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator of its own for ``(seed, *names)``."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))


def torch_stream(seed: int, *names: str) -> "torch.Generator":
    """A torch CPU generator of its own for ``(seed, *names)``.

    Always on the CPU: draw there and move the numbers, so that every device sees the same ones.
    """
    import torch

    return torch.Generator(device="cpu").manual_seed(derive(seed, *names))
