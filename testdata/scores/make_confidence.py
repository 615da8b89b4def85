"""Golden scores of confidences for `confidence.json` (pip install scikit-learn numpy).

Run in this folder: python make_confidence.py > confidence.json
"""

import json

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

BINS = 10
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def ece(right, p):
    """Guo et al. 2017, bin by bin, bins closed above as in scikit-learn's calibration_curve."""
    bin_of = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], p)
    total = 0.0
    for b in range(BINS):
        here = bin_of == b
        if here.any():
            total += here.mean() * abs(right[here].mean() - p[here].mean())
    return total


def errors_left(right, p, share):
    """Mean over the orders of equal confidences: each is looked at in the share that is left."""
    looked = share * len(p)
    found = before = 0.0
    for value in np.unique(p):
        here = p == value
        part = np.clip((looked - before) / here.sum(), 0, 1)
        found += part * (~right[here]).sum()
        before += here.sum()
    return 1 - found / (~right).sum()


def case(p, right):
    shown, mean = calibration_curve(right, p, n_bins=BINS)
    return {
        "confidence": p.tolist(),
        "right": right.tolist(),
        "auroc": roc_auc_score(right, p),
        "brier": brier_score_loss(right, p),
        "ece": ece(right, p),
        "bins": [[float(a), float(b)] for a, b in zip(shown, mean)],
        "errors_left": [[s, errors_left(right, p, s)] for s in SHARES],
    }


rng = np.random.default_rng(28)
p = np.round(rng.uniform(size=200), 6)
even = case(p, rng.uniform(size=200) < p)
p = np.round(rng.beta(5, 1, size=150), 6)
sure = case(p, rng.uniform(size=150) < p**2)
# Many ties, values on the edges of bins, 0 and 1 among them.
p = rng.integers(0, 11, size=120) / 10
tied = case(p, rng.uniform(size=120) < p)
print(json.dumps([even, sure, tied]))
