"""What callers hand over as arrays."""
from typing import Any, Optional

import numpy as np


def to_numpy(value: Any) -> Optional[np.ndarray]:
    """An array of anything that is one: numpy, lists, and tensors of PyTorch, wherever they live. None stays None."""
    if value is None:
        return None
    for step in ("detach", "cpu", "numpy"):
        if hasattr(value, step) and not isinstance(value, np.ndarray):
            value = getattr(value, step)()
    return np.asarray(value)
