"""Writes more.json: right values for the statistics of drift-kit that stats.json doesn't cover.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
    python generate.py
"""

import json

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn.metrics import roc_auc_score

SEED = 11
rng = np.random.default_rng(SEED)


def floats(values):
    return [float(v) for v in values]


def ks_p_values():
    # Exact (equal, unequal, coprime, unbalanced sizes) and asymptotic, from the centre to the tail.
    rows = []
    for n, m in [(5, 5), (8, 3), (50, 50), (60, 90), (97, 101), (400, 7), (1000, 1000), (2000, 150),
                 (10000, 10000), (10000, 900), (10001, 40), (20000, 300), (30000, 20000), (100000, 12000)]:
        lcm = np.lcm(n, m)
        for z in [0.3, 0.6, 0.9, 1.2, 1.6, 2.2, 3.5, 6.0]:
            # A statistic that samples of these sizes can have.
            d = round(z * np.sqrt((n + m) / (n * m)) * lcm) / lcm
            if not 0 < d < 1:
                continue
            if max(n, m) <= 10000:
                g = np.gcd(n, m)
                _, _, p = stats._stats_py._attempt_exact_2kssamp(n, m, g, d, "two-sided")
            else:
                p = stats.kstwo.sf(d, np.round(n * m / (n + m)))
            rows.append({"n": n, "m": m, "d": d, "p": float(p)})
    return rows


def wasserstein_p_values():
    # SciPy's own permutation test with many resamples.
    rows = []
    for name, a, b in [
        ("null", rng.normal(size=80), rng.normal(size=60)),
        ("shift", rng.normal(size=80), rng.normal(0.35, 1, size=70)),
        ("skewed", rng.exponential(size=100), rng.exponential(1.4, size=90)),
        ("ties", rng.integers(0, 4, 70), rng.integers(0, 5, 60)),
    ]:
        test = stats.permutation_test(
            (a, b), stats.wasserstein_distance, permutation_type="independent",
            alternative="greater", n_resamples=20_000, rng=np.random.default_rng(SEED))
        rows.append({"name": name, "reference": floats(a), "current": floats(b), "p": float(test.pvalue)})
    return rows


def aucs():
    rows = []
    for name, n, decimals in [("plain", 120, 6), ("tied", 150, 1), ("constant", 40, 0)]:
        labels = rng.integers(0, 2, n)
        scores = np.round(rng.normal(labels * 0.7, 1) * (name != "constant"), decimals)
        test = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0], alternative="greater",
                                  method="asymptotic", use_continuity=False) if name != "constant" else None
        rows.append({"name": name, "labels": labels.tolist(), "scores": floats(scores),
                     "auc": float(roc_auc_score(labels, scores)),
                     "p_greater": float(test.pvalue) if test else None})
    return rows


quantile_sample = rng.gamma(2.0, 3.0, 101)

document = {
    "origin": "written by generate.py, which stands beside this file",
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__},
    "seed": SEED,
    "chi_square_sf": [
        {"x": x, "dof": k, "p": float(stats.chi2.sf(x, k))}
        for k in [1, 2, 3, 9, 30, 200, 999]
        for x in [1e-9, 0.1 * k, 0.9 * k, 1.0 * k, 1.3 * k, 2.0 * k, 6.0 * k, 400.0]
    ],
    "normal_sf": [{"z": z, "p": float(stats.norm.sf(z))} for z in [-8.0, -1.5, 0.0, 0.3, 1.96, 5.0, 12.0, 30.0]],
    "kolmogorov_sf": [
        {"n": n, "d": z / np.sqrt(n), "p": float(stats.kstwo.sf(z / np.sqrt(n), n))}
        for n in [1, 2, 10, 39, 140, 141, 500, 4000, 9000, 60000]
        for z in [0.2, 0.35, 0.5, 0.8, 1.0, 1.4, 1.7, 2.5, 5.0]
        if z / np.sqrt(n) < 1.2
    ],
    "ks_p_values": ks_p_values(),
    "wasserstein_p_values": wasserstein_p_values(),
    "fisher": [
        {"a": a, "n": n, "b": b, "m": m, "p": float(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)}
        for a, n, b, m in [(0, 20, 3, 25), (0, 1000, 4, 300), (1, 10, 1, 10), (0, 5, 5, 5), (3, 40, 0, 60),
                           (99, 100, 995, 1000), (0, 23570, 3, 400)]
    ],
    "two_proportions": [
        # chi2_contingency without correction is the square of the pooled z-test.
        {"a": a, "n": n, "b": b, "m": m,
         "p": float(stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False).pvalue)}
        for a, n, b, m in [(30, 1000, 60, 1000), (500, 1000, 480, 1000), (10, 100, 40, 200), (2000, 23570, 100, 500)]
    ],
    "chi_square_two_categories": {
        "reference_counts": [40, 60], "current_counts": [30, 90],
        "chi2": float(stats.chi2_contingency([[40, 60], [30, 90]], correction=False).statistic),
        "p_value": float(stats.chi2_contingency([[40, 60], [30, 90]], correction=False).pvalue),
    },
    "auc": aucs(),
    "benjamini_hochberg": [
        {"p_values": p, "adjusted": floats(stats.false_discovery_control(p, method="bh"))}
        for p in [[0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205], [0.5], [1.0, 1.0, 0.0], [0.03, 0.03, 0.01]]
    ],
    "quantiles": {
        "values": floats(quantile_sample), "at": floats(np.arange(1, 10) / 10),
        "quantiles": floats(np.quantile(quantile_sample, np.arange(1, 10) / 10)),
    },
}

with open("more.json", "w") as out:
    json.dump(document, out, indent=1)
    out.write("\n")
