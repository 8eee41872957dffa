"""Minimising a smooth convex function, one evaluation at a time: whoever uses it evaluates several
functions at their next points in one scan, and tells each what came of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsm_dask.scores.out_of_fold.features import Floats

MEMORY = 10
_ENOUGH = 1e-4
_SMALLEST = 1 / 64


class QuasiNewton:
    """Limited-memory BFGS (Nocedal, "Updating quasi-Newton matrices with limited storage", 1980;
    Nocedal and Wright, "Numerical Optimization", algorithm 7.4) with a step that is halved until
    the function falls by enough (Armijo, 1966).

    ``inverse`` applies a first guess at the inverse of the Hessian; ``rounded`` turns any point
    into one that may be evaluated. ``next`` is the point to evaluate.

    >>> square = QuasiNewton(np.array([4.0]), lambda g: g / 4, lambda w: w, tolerance=1e-6)
    >>> while not square.done:
    ...     square.told(float(square.next[0] ** 2), 2 * square.next)
    >>> bool(abs(square.point[0]) < 1e-6)
    True
    """

    def __init__(
        self,
        start: Floats,
        inverse: Callable[[Floats], Floats],
        rounded: Callable[[Floats], Floats],
        tolerance: float,
    ) -> None:
        self.point = self.next = start
        self.done = False
        self._inverse, self._rounded, self._tolerance = inverse, rounded, tolerance
        self._value, self._gradient = np.inf, np.zeros_like(start)
        self._direction, self._step = np.zeros_like(start), 0.0
        self._memory: list[tuple[Floats, Floats]] = []

    def told(self, value: float, gradient: Floats) -> None:
        """Go on, now that the function at :attr:`next` is known."""
        if self.done:
            return
        slope = float(np.vdot(self._gradient, self._direction))
        if value <= self._value + _ENOUGH * self._step * slope:
            change = self.next - self.point
            curved = gradient - self._gradient
            if np.isfinite(self._value) and np.vdot(change, curved) > 0:
                self._memory = [*self._memory, (change, curved)][-MEMORY:]
            self.point, self._value, self._gradient = self.next, value, gradient
            if np.abs(gradient).max() <= self._tolerance:
                self.done = True
                return
            self._direction, self._step = -self._towards(gradient), 1.0
        elif self._step > _SMALLEST:
            self._step /= 2
        elif self._memory:  # what was learnt misleads
            self._memory = []
            self._direction, self._step = -self._towards(self._gradient), 1.0
        else:
            self.done = True  # as good as the rounding of points allows
            return
        self.next = self._rounded(self.point + self._step * self._direction)
        self.done = bool((self.next == self.point).all())

    def _towards(self, gradient: Floats) -> Floats:
        """The inverse Hessian, as far as it is known, times the gradient."""
        found, shares = gradient.copy(), []
        for change, curved in reversed(self._memory):
            share = float(np.vdot(change, found) / np.vdot(change, curved))
            shares.append(share)
            found -= share * curved
        found = self._inverse(found)
        for (change, curved), share in zip(self._memory, reversed(shares), strict=True):
            found += (share - np.vdot(curved, found) / np.vdot(change, curved)) * change
        return found
