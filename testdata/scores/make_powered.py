"""Writes powered.json: means of a few stained wells with the help of predictions, by ppi-python.

    pip install numpy scipy ppi-python==0.2.3
    python make_powered.py

`ci95` is ppi-python's interval. `student95` is the same with variances over n - 1 and Student's t,
whose degrees of freedom are Satterthwaite's: what this program gives for a weight that is given.
"""

import json
import pathlib

import numpy as np
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
from ppi_py.ppi import _calc_lam_glm
from scipy.stats import t as student

rng = np.random.default_rng(11)
cases = []
for n, others, noise in [(6, 90, 5.0), (12, 372, 40.0), (24, 100, 400.0), (8, 30, 0.5)]:
    truth = rng.gamma(9.0, 30.0, n + others)
    predicted = 0.8 * truth + 20.0 + rng.normal(0.0, noise, n + others)
    y, f, g = truth[:n], predicted[:n], predicted[n:]
    centre = ppi_mean_pointestimate(y, f, g, lam=1)
    tuned = _calc_lam_glm(y - centre, f - centre, g - centre, np.eye(1), clip=True)
    results = []
    for weight in [0.0, 1.0, 0.37, None]:
        estimate = float(np.squeeze(ppi_mean_pointestimate(y, f, g, lam=weight)))
        used = float(tuned) if weight is None else weight
        own = np.var(y - used * f, ddof=1) / n
        spread = used**2 * np.var(g, ddof=1) / others
        freedom = (own + spread) ** 2 / (own**2 / (n - 1) + spread**2 / (others - 1))
        half = student.ppf(0.975, freedom) * np.sqrt(own + spread)
        low, high = ppi_mean_ci(y, f, g, alpha=0.05, lam=weight)
        results.append(
            {
                "weight": used,
                "tuned": weight is None,
                "estimate": estimate,
                "ci95": [float(np.squeeze(low)), float(np.squeeze(high))],
                "student95": [float(estimate - half), float(estimate + half)],
            }
        )
    cases.append(
        {"truth": y.tolist(), "predicted": f.tolist(), "others": g.tolist(), "results": results}
    )
path = pathlib.Path(__file__).with_name("powered.json")
path.write_text(json.dumps(cases, indent=1) + "\n")
