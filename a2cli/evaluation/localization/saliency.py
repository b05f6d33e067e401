"""What stands out of a photo, whatever anybody says of it: the spectral residual.

Source: Hou and Zhang, Saliency detection: a spectral residual approach, 2007, eq. 7 to 10.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 64  # px of the shorter side; what stands out is looked for at this scale
AVERAGE = 3  # side of the filter h_n
BLUR = 2.5  # px, sigma of g(x); the paper says 8, its published program 2.5 at this scale
TINY = 1e-8


def get_saliency(rgb: np.ndarray) -> np.ndarray:
    """How much each pixel of (H, W, 3) uint8 stands out: (H, W) float32 in [0, 1], 0 everywhere of a plain picture."""
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.max() - small.min() < 1:
        return np.zeros((height, width), np.float32)
    spectrum = cv2.dft(small, flags=cv2.DFT_COMPLEX_OUTPUT)
    amplitude, phase = cv2.cartToPolar(spectrum[..., 0], spectrum[..., 1])
    logs = np.log(amplitude + TINY)
    residual = logs - cv2.blur(logs, (AVERAGE, AVERAGE))
    x, y = cv2.polarToCart(np.exp(residual), phase)
    back = cv2.idft(np.dstack([x, y]), flags=cv2.DFT_SCALE | cv2.DFT_COMPLEX_OUTPUT)
    energy = cv2.GaussianBlur(np.square(back).sum(axis=2), (0, 0), BLUR)
    soft = cv2.resize(energy, (width, height), interpolation=cv2.INTER_LINEAR)
    low, high = float(soft.min()), float(soft.max())
    if high - low <= TINY * high:
        return np.zeros((height, width), np.float32)
    return ((soft - low) / (high - low)).astype(np.float32)


def cut_by_otsu(soft: np.ndarray) -> np.ndarray:
    """The brighter class of (H, W) in [0, 1] by Otsu's threshold: bool (H, W), empty for a map without contrast."""
    levels = np.round(soft * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return levels > threshold
