"""Lines of scikit-learn's LogisticRegression for `logistic.csv` (pip install scikit-learn).

Run in this folder: python make_confidence.py > logistic.csv
"""

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

RIDGES = (0.5, 5.0, 50.0)

rng = np.random.default_rng(28)
x = np.round(rng.normal(size=(80, 4)), 6)
x[:, 3] = np.round(0.9 * x[:, 0] + 0.1 * x[:, 3], 6)  # two features that say nearly the same
z = 0.7 + x @ np.array([1.5, -0.8, 0.0, 0.3])
y = rng.uniform(size=80) < 1 / (1 + np.exp(-z))

print(f"# scikit-learn {sklearn.__version__}: rows are kind and features, lines are ridge,")
print("# intercept and weights of LogisticRegression(C=1 / ridge)")
for kind, row in zip(y, x):
    print("row," + ",".join([str(int(kind))] + [repr(float(v)) for v in row]))
for ridge in RIDGES:
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(x, y)
    line = [ridge, model.intercept_[0], *model.coef_[0]]
    print("line," + ",".join(repr(float(v)) for v in line))
