"""One number a method out of who beat whom: the model of Bradley and Terry, for many tables of wins at once."""

from __future__ import annotations

import numpy as np

PRIOR = 0.5  # of a win that each side of every pair that met is given: no strength then is infinite
STEPS = 500
TOLERANCE = 1e-9


def get_strengths(wins: np.ndarray) -> np.ndarray | None:
    """Natural logarithms of the methods' strengths, mean 0: (n, k, k) wins of row over column to (n, k).

    A method beats another with odds exp(its score - the other's). Every pair that met in any table is given half a
    win on both sides, so that a method that never lost has a score. None where the methods that met do not hang
    together: there is then no common scale. Source: Hunter, MM algorithms for generalized Bradley-Terry models, 2004.
    """
    met = (wins + wins.transpose(0, 2, 1)).sum(axis=0) > 0
    if not _hang_together(met):
        return None
    padded = wins + PRIOR * met
    games = padded + padded.transpose(0, 2, 1)
    won = padded.sum(axis=2)
    strength = np.ones(won.shape)
    for _ in range(STEPS):
        new = won / (games / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        new /= np.exp(np.log(new).mean(axis=1, keepdims=True))
        moved = float(np.abs(np.log(new / strength)).max(initial=0.0))
        strength = new
        if moved < TOLERANCE:
            break
    return np.log(strength)


def _hang_together(met: np.ndarray) -> bool:
    """Whether every method is reached from the first by pairs that met."""
    reached = {0}
    while True:
        more = {int(j) for i in reached for j in np.flatnonzero(met[i])} | reached
        if more == reached:
            return len(reached) == len(met)
        reached = more
