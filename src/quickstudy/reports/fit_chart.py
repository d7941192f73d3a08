"""Real tasks beside simulated ones: histograms of a fit."""

import numpy as np
from matplotlib.figure import Figure

from quickstudy.fitting.results import Fitted
from quickstudy.reports import canvas
from quickstudy.reports.canvas import LIGHT, MUTED, Picture

_BINS = 24


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
            both = np.concatenate([real, simulated])
            low, high = np.quantile(both, [0.002, 0.998]) if len(both) else (0.0, 1.0)
            edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
            axes.hist(np.clip(simulated, low, high), edges, density=True, color=MUTED, alpha=0.45, label="simulated")
            axes.hist(
                np.clip(real, low, high), edges, density=True, histtype="step", color=LIGHT[0], linewidth=1.6, label="real"
            )
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
