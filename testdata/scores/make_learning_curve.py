"""Learning curves fitted by scipy, for crates/scores/tests/learning_curve.rs.

    python testdata/scores/make_learning_curve.py

Each case has set sizes, one score a run, and for each shape the bounded least-squares fit from many starts:
residual sum of squares, the curve's scores at the largest and twice the largest set.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

SHAPES = {
    "power law with a floor": (lambda n, p: p[0] * n ** -p[1] + p[2], [(0, 5), (0.05, 3), (0, 1)]),
    "exponential with a floor": (lambda n, p: p[0] * np.exp(-p[1] * (n - 1)) + p[2], [(0, 5), (0.2, 20), (0, 1)]),
}


def fit(shape, images, scores):
    curve, bounds = SHAPES[shape]
    n, error = images / images.max(), 1 - scores
    low, high = np.array(bounds, float).T
    best = None
    random = np.random.default_rng(1)
    for _ in range(60):
        start = low + (high - low) * random.random(len(bounds)) ** 2
        found = least_squares(lambda p: curve(n, p) - error, start, bounds=(low, high), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        if best is None or found.cost < best.cost:
            best = found
    return {"rss": 2 * best.cost, "at": [1 - curve(x, best.x) for x in (1.0, 2.0)]}


def case(name, sizes, seeds, truth, noise, key):
    random = np.random.default_rng(key)
    images = np.repeat(sizes, seeds).astype(float)
    scores = truth(images) + noise * random.standard_normal(images.size)
    return {
        "name": name,
        "images": images.astype(int).tolist(),
        "scores": scores.tolist(),
        "fits": {shape: fit(shape, images, scores) for shape in SHAPES},
    }


cases = [
    case("power", [2, 4, 8, 16], 3, lambda n: 1 - 0.4 * n**-0.5, 0.004, 1),
    case("floor", [2, 4, 8, 16, 32, 64], 3, lambda n: 1 - 0.15 - 0.4 * n**-1.1, 0.003, 2),
    case("exponential", [4, 8, 12, 16, 24, 32], 4, lambda n: 1 - 0.1 - 0.5 * np.exp(-n / 6), 0.003, 3),
    case("flat", [4, 8, 16], 3, lambda n: 0.8 + 0 * n, 0.01, 4),
]
target = Path(__file__).with_name("learning_curve.json")
target.write_text(json.dumps({"cases": cases}, indent=1) + "\n")
