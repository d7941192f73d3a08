"""Real tasks beside simulated ones: histograms of a fit."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from quickstudy.fitting.results import Fitted
from quickstudy.reports import canvas
from quickstudy.reports.canvas import LIGHT, MUTED, Picture

_BINS = 24
_FILLED: dict[str, Any] = {"color": MUTED, "alpha": 0.45, "label": "simulated"}
_OUTLINED: dict[str, Any] = {"histtype": "step", "color": LIGHT[0], "linewidth": 1.6, "label": "real"}


def fit_picture(fitted: Fitted) -> Picture:
    """One panel for each histogram of the fit.

    Args:
      fitted: the fit.
    """
    with canvas.style_context():
        count = len(fitted.histograms)
        figure = Figure(figsize=(canvas.WIDTH, 2.1 * count + 0.3), layout="constrained")
        for axes, one in zip(np.atleast_1d(figure.subplots(count, 1)), fitted.histograms, strict=True):
            real, simulated = np.asarray(one.real), np.asarray(one.simulated)
            edges = bin_edges(np.concatenate([real, simulated]))
            for numbers, drawn in ((simulated, _FILLED), (real, _OUTLINED)):
                axes.hist(np.clip(numbers, edges[0], edges[-1]), edges, density=True, **drawn)
            axes.set_xlabel(one.name, fontsize=8.5)
            axes.set_ylabel("density", fontsize=8.5)
            axes.legend(fontsize=7.5, frameon=False)
        which = f"{fitted.held_out} tasks that nothing was fitted to" if fitted.held_out else "the tasks of the fit"
        fits = sum(one.fits for one in fitted.matches)
        return canvas.finish(
            figure,
            name="fit",
            title=f"Simulated and real tasks: {fitted.distribution}",
            caption=f"Real: {which}. {fits} of {len(fitted.matches)} quantities lie within 90 % of simulated tables.",
            alternative=f"Histograms of real and simulated tasks of {fitted.distribution}.",
        )


def bin_edges(numbers: Float[np.ndarray, " n"]) -> Float[np.ndarray, " edges"]:
    """Edges of at most 24 bins of one width, from the quantile 0.002 to 0.998.

    Where numbers have few values, such as shares of 50 views, each bin holds the same number of values. Otherwise some bins
    would be empty.
    """
    low, high = np.quantile(numbers, [0.002, 0.998]) if len(numbers) else (0.0, 1.0)
    if not high > low:
        return np.linspace(low, low + 1.0, _BINS + 1)
    values = np.unique(np.round(numbers, 9))
    step = float(np.diff(values).min()) if 1 < len(values) <= 4 * _BINS else 0.0
    bins = (high - low) / step if step else np.inf
    if bins > 8 * _BINS:
        return np.linspace(low, high, _BINS + 1)
    width = step * np.ceil((bins + 1) / _BINS)
    return np.arange(values[values >= low - 1e-9][0] - step / 2, high + width, width)
