"""Golden numbers for scores::familiar, by scikit-learn and scipy.

    pip install numpy scipy scikit-learn
    python make_familiar.py        (writes familiar.json beside this script)
"""

import json
import pathlib

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn.covariance import LedoitWolf

rng = np.random.default_rng(28)


def rows(n, p):
    """Correlated columns of unlike spread, rounded so that the file has what was computed with."""
    mix = rng.normal(size=(p, p)) * rng.uniform(0.2, 3, size=p)
    return np.round(rng.normal(size=(n, p)) @ mix + rng.normal(size=p), 4)


def covariance(n, p):
    made = rows(n + 3, p)
    known, others = made[:n], made[n:]
    fit = LedoitWolf(store_precision=True).fit(known)
    return {
        "rows": known.tolist(),
        "others": others.tolist(),
        "mean": fit.location_.tolist(),
        "covariance": fit.covariance_.tolist(),
        "shrinkage": float(fit.shrinkage_),
        # Scikit-learn's "distances" are squared.
        "squared": fit.mahalanobis(others).tolist(),
    }


def limits(n):
    scores = np.round(rng.lognormal(size=n), 5)
    found = {"scores": scores.tolist(), "outside": 0.05}
    share = np.ceil((n + 1) * 0.95) / n
    found["conformal"] = float(np.quantile(scores, share, method="inverted_cdf")) if share <= 1 else None
    logs = np.log(scores)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / n)
    found["lognormal"] = float(np.exp(logs.mean() + stats.t.ppf(0.95, n - 1) * spread))
    return found


made = {
    "by": f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, numpy {np.__version__}",
    # Fewer rows than columns, about as many, and many; one column.
    "covariances": [covariance(*size) for size in [(5, 8), (8, 7), (60, 6), (12, 1)]],
    "limits": [limits(n) for n in (3, 7, 18, 19, 40)],
}
out = pathlib.Path(__file__).with_suffix("").with_name("familiar.json")
out.write_text(json.dumps(made, separators=(",", ":")) + "\n")
