"""Golden numbers for agreement and calibration: python make_agreement.py > agreement.json

Agreement: numpy and scipy.stats.t (Bland & Altman's formulas, Lin's coefficient with n - 1, scipy's
pearsonr). Calibration: bins by numpy.digitize on random softmax maps that are too sure of
themselves; probabilities are multiples of 1/60, so that many lie exactly on edges of the 15 bins,
and are written as integers.
"""
import json
import sys

import numpy as np
from scipy import stats

rng = np.random.default_rng(11)


def limits(d):
    n, bias, sd = len(d), d.mean(), d.std(ddof=1)
    t = stats.t.ppf(0.975, n - 1)
    rows = {}
    for name, value, error in (("bias", bias, sd / np.sqrt(n)),
                               ("lower", bias - 1.96 * sd, np.sqrt(3 * sd**2 / n)),
                               ("upper", bias + 1.96 * sd, np.sqrt(3 * sd**2 / n))):
        rows[name] = [value, value - t * error, value + t * error]
    return {"n": n, "sd": sd, **rows}


agreement = []
for n in (3, 4, 12, 61):
    x = rng.gamma(3, 40, n)
    y = 0.93 * x + 4 + rng.normal(0, 9, n)
    cov = np.cov(x, y)
    agreement.append({
        "x": x.tolist(), "y": y.tolist(), "difference": limits(y - x),
        "percent": limits(100 * (y - x) / ((x + y) / 2)),
        "concordance": 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (x.mean() - y.mean()) ** 2),
        "pearson": stats.pearsonr(x, y)[0],
    })


def ece(p, right, bins=15):
    # (lo, hi]: digitize with right=True; 0 goes to the first bin. Sixtieths are compared as integers.
    place = np.clip(np.digitize(p, np.arange(bins + 1) * (60 // bins), right=True), 1, bins)
    gaps = []
    total = 0.0
    for b in range(1, bins + 1):
        inside = place == b
        if inside.any():
            gap = abs(right[inside].mean() - p[inside].mean() / 60)
            gaps.append(gap)
            total += inside.mean() * gap
    return total, max(gaps)


calibration = []
for classes, side in ((2, 30), (3, 40), (4, 25)):
    logits = rng.normal(0, 1.5, (classes, side * side))
    p = np.exp(logits) / np.exp(logits).sum(0)
    sixtieths = np.floor(p * 60).astype(int)
    sixtieths[0] += 60 - sixtieths.sum(0)  # every pixel sums to 1
    drawn = (rng.random(side * side) < np.cumsum(np.exp(logits / 2) / np.exp(logits / 2).sum(0), 0)).argmax(0)
    truth = np.where(rng.random(side * side) < 0.1, 255, drawn)
    kept = truth != 255
    q, t = sixtieths[:, kept], truth[kept]
    top = q.argmax(0)
    total, worst = ece(q.max(0), top == t)
    calibration.append({
        "classes": classes, "side": side, "truth": truth.tolist(), "sixtieths": sixtieths.tolist(),
        "ece": total, "mce": worst,
        "class_wise_ece": float(np.mean([ece(q[c], t == c)[0] for c in range(classes)])),
        "brier": float((((q / 60) - np.eye(classes)[t].T) ** 2).sum(0).mean()),
    })

json.dump({"agreement": agreement, "calibration": calibration}, sys.stdout, separators=(",", ":"))
