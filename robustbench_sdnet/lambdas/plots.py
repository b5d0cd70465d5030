"""The picture of a calibration: residual against best lambda, and the lines in the residual."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..files import write_whole
from .calibrated import CalibratedFit


def plot_fit(fit: CalibratedFit, path: str | Path) -> Path:
    """Draw the fit and its data into a file, whose ending (.svg, .png, .pdf) says the format; the path comes back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for noise in dict.fromkeys(point.noise for point in fit.points):
        points = [point for point in fit.points if point.noise == noise]
        places = zip(*((point.residual, point.best(fit.lambdas)) for point in points), strict=True)
        axes.plot(*places, "o", label=noise.replace("_", " "))
    residuals = np.concatenate([point.residuals for point in fit.points])
    # Where images are, one by one: levels' means lie in the middle of it.
    low, high = np.quantile(residuals, (0.01, 0.99)).tolist()
    ends = np.linspace(low, high, 100)
    for rule, style, what in (("residual", "k-", "most accurate"), ("published", "k:", "through the points")):
        line = fit.lines[rule]
        values = np.clip(line.intercept + line.slope * ends, min(fit.lambdas), max(fit.lambdas))
        axes.plot(ends, values, style, label=f"{what}: {line.intercept:.2f} + {line.slope:.2f} r")
    axes.set_xlabel(f"residual energy a pixel value, at lambda {fit.residual_lambda:g}")
    axes.set_ylabel("best lambda on training images")
    axes.legend(fontsize="small")
    target = Path(path)
    kind = target.suffix.removeprefix(".")
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return write_whole(target, content.getvalue())
