"""Writes powered.json: means of a few stained wells with the help of predictions, by ppi-python.

    pip install numpy ppi-python==0.2.3
    python make_powered.py

ppi-python divides variances by n; ours by n - 1, which the test undoes.
"""

import json
import pathlib

import numpy as np
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
from ppi_py.ppi import _calc_lam_glm

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
        low, high = ppi_mean_ci(y, f, g, alpha=0.05, lam=weight)
        results.append(
            {
                "weight": float(tuned) if weight is None else weight,
                "tuned": weight is None,
                "estimate": estimate,
                "ci95": [float(np.squeeze(low)), float(np.squeeze(high))],
            }
        )
    cases.append(
        {"truth": y.tolist(), "predicted": f.tolist(), "others": g.tolist(), "results": results}
    )
path = pathlib.Path(__file__).with_name("powered.json")
path.write_text(json.dumps(cases, indent=1) + "\n")
