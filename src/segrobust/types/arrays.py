"""Names for numpy arrays, and how a frozen value keeps one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array as a view that nobody can write through."""
    view = array.view()
    view.flags.writeable = False
    return view
