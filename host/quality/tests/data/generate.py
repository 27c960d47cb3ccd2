"""Writes metrics.json: right values for the tests of caisson-stats and caisson-quality.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
    python generate.py

Metrics are scikit-learn's own; intervals are SciPy's, or the textbook formula written out over all pairs
and rows, where the crates use sums over ties.
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
import sklearn
from scipy import stats
from scipy.special import expit, logit
from sklearn import metrics as m
from sklearn.calibration import _sigmoid_calibration, calibration_curve
from sklearn.isotonic import IsotonicRegression

SEED = 23
LEVEL = 0.95
Z = stats.norm.ppf(0.975)
rng = np.random.default_rng(SEED)
warnings.simplefilter("ignore")


def floats(values):
    return [float(v) for v in values]


def delong(labels, scores):
    pos, neg = scores[labels == 1], scores[labels == 0]
    wins = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    if min(len(pos), len(neg)) < 2:
        return None
    return float(wins.mean(1).var(ddof=1) / len(pos) + wins.mean(0).var(ddof=1) / len(neg))


def on_logit(value, error):
    centre, half = logit(value), Z * error / (value * (1 - value))
    return [float(expit(centre - half)), float(expit(centre + half))]


def mean_interval(values):
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean() - half), float(values.mean() + half)]


def binary_case(name, labels, scores, bins=10):
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], scores)
    ece = sum(abs(labels[place == b].mean() - scores[place == b].mean()) * (place == b).mean()
              for b in range(bins) if (place == b).any())
    true, mean = calibration_curve(labels, scores, n_bins=bins)
    both = len(set(labels.tolist())) == 2
    auc = float(m.roc_auc_score(labels, scores)) if both else None
    ap = float(m.average_precision_score(labels, scores)) if labels.any() else None
    var = delong(labels, scores) if both else None
    p = np.clip(scores, np.finfo(float).eps, 1 - np.finfo(float).eps)
    losses = -np.where(labels == 1, np.log(p), np.log(1 - p))
    brier = (scores - labels) ** 2
    return {
        "name": name, "labels": labels.tolist(), "scores": floats(scores), "bins": bins,
        "roc_auc": auc, "delong_variance": var,
        "roc_auc_interval": on_logit(auc, np.sqrt(var)) if var and 0 < auc < 1 else None,
        "average_precision": ap,
        "average_precision_interval":
            on_logit(ap, np.sqrt(ap * (1 - ap) / labels.sum())) if ap and 0 < ap < 1 else None,
        "log_loss": float(m.log_loss(labels, scores, labels=[0, 1])),
        "log_loss_interval": [max(end, 0.0) for end in mean_interval(losses)],
        "brier": float(m.brier_score_loss(labels, scores, pos_label=1)),
        "brier_interval": [max(end, 0.0) for end in mean_interval(brier)],
        "calibration_error": float(ece),
        "curve": {"true": floats(true), "mean": floats(mean)},
    }


def binary():
    cases = []
    for name, n, rate, gain, decimals in [
        ("plain", 250, 0.4, 1.5, 6), ("rare", 600, 0.03, 2.0, 6), ("tied", 300, 0.5, 1.0, 1),
        ("worse than chance", 80, 0.5, -1.0, 6), ("few", 7, 0.5, 1.0, 3),
    ]:
        labels = (rng.random(n) < rate).astype(int)
        labels[:2], labels[2:4] = 1, 0
        scores = np.round(expit(rng.normal(logit(rate) + gain * (labels - rate), 1)), decimals)
        cases.append(binary_case(name, labels, scores))
    cases.append(binary_case("five bins", cases[0]["labels"], cases[0]["scores"], 5))
    cases.append(binary_case("separated", [0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.9]))
    cases.append(binary_case("reversed", [1, 1, 0, 0, 0], [0.1, 0.2, 0.3, 0.6, 0.9]))
    cases.append(binary_case("constant score", [0, 1, 1, 0, 1, 0, 0], [0.3] * 7))
    cases.append(binary_case("certain and wrong", [0, 1, 1, 0, 1], [1.0, 0.0, 1.0, 0.0, 1.0]))
    cases.append(binary_case("positives only", [1, 1, 1, 1], [0.2, 0.4, 0.9, 0.95]))
    cases.append(binary_case("negatives only", [0, 0, 0], [0.2, 0.4, 0.9]))
    cases.append(binary_case("at the edges", [0, 1, 0, 1, 1, 0], [0.0, 0.1, 0.2, 0.5, 0.9, 1.0]))
    return cases


def wilson(hits, rows):
    if rows == 0:
        return None
    ci = stats.binomtest(int(hits), int(rows)).proportion_ci(0.95, method="wilson")
    return [float(ci.low), float(ci.high)]


def classes_case(name, actual, predicted):
    names = sorted(set(actual) | set(predicted))
    p, r, f, support = m.precision_recall_fscore_support(actual, predicted, labels=names, zero_division=0)
    cm = m.confusion_matrix(actual, predicted, labels=names)
    case = {
        "name": name, "actual": list(actual), "predicted": list(predicted), "classes": names,
        "confusion": cm.tolist(), "accuracy": float(m.accuracy_score(actual, predicted)),
        "accuracy_interval": wilson(np.trace(cm), cm.sum()),
        "precision": floats(p), "recall": floats(r), "f1": floats(f),
        "precision_interval": [wilson(cm[i, i], cm[:, i].sum()) for i in range(len(names))],
        "recall_interval": [wilson(cm[i, i], cm[i].sum()) for i in range(len(names))],
        "mcc": float(m.matthews_corrcoef(actual, predicted)),
    }
    for average in ["macro", "micro", "weighted"]:
        p, r, f, _ = m.precision_recall_fscore_support(actual, predicted, average=average, zero_division=0)
        case |= {f"precision_{average}": float(p), f"recall_{average}": float(r), f"f1_{average}": float(f)}
    # The jackknife, row by row.
    if len(actual) <= 120:
        def without(i):
            a, b = actual[:i] + actual[i + 1:], predicted[:i] + predicted[i + 1:]
            return m.f1_score(a, b, average="macro", zero_division=0)
        values = np.array([without(i) for i in range(len(actual))])
        n = len(actual)
        case["f1_macro_jackknife_variance"] = float((n - 1) / n * ((values - values.mean()) ** 2).sum())
    return case


def classes():
    cases = []
    for name, n, k, right in [("three", 120, 3, 0.7), ("two", 90, 2, 0.8), ("many", 400, 12, 0.5)]:
        actual = [f"c{v}" for v in rng.integers(0, k, n)]
        guess = [f"c{v}" for v in rng.integers(0, k, n)]
        keep = rng.random(n) < right
        cases.append(classes_case(name, actual, [a if c else g for a, g, c in zip(actual, guess, keep)]))
    cases.append(classes_case("unseen category", list("aabbab"), list("aabzaz")))
    cases.append(classes_case("never predicted", list("aabbcc"), list("aabbab")))
    cases.append(classes_case("all right", list("aabbcc"), list("aabbcc")))
    cases.append(classes_case("all wrong", list("aabb"), list("bbaa")))
    cases.append(classes_case("one class", list("aaaa"), list("aaaa")))
    return cases


def multiclass_case(name, labels, scores):
    labels, k = np.asarray(labels), scores.shape[1]
    scores = scores / scores.sum(1, keepdims=True)
    auc = lambda **how: float(m.roc_auc_score(labels, scores, **how))
    truth = np.eye(k)[labels]
    return {
        "name": name, "labels": labels.tolist(), "scores": [floats(row) for row in scores],
        "ovr_macro": auc(multi_class="ovr", average="macro"),
        "ovr_weighted": auc(multi_class="ovr", average="weighted"),
        "ovo_macro": auc(multi_class="ovo", average="macro"),
        "ovo_weighted": auc(multi_class="ovo", average="weighted"),
        "log_loss": float(m.log_loss(labels, scores, labels=list(range(k)))),
        "brier": float(((scores - truth) ** 2).sum(1).mean()),
        "brier_sklearn": float(m.brier_score_loss(labels, scores, labels=list(range(k)))),
    }


def multiclass():
    cases = []
    for name, n, weights, decimals in [("even", 200, [1, 1, 1], 6), ("skewed", 300, [8, 2, 1, 1], 6),
                                       ("tied", 150, [1, 1, 1], 1)]:
        w = np.array(weights) / sum(weights)
        labels = rng.choice(len(w), n, p=w)
        raw = np.exp(rng.normal(np.eye(len(w))[labels] * 1.2, 1))
        raw = np.maximum(np.round(raw / raw.sum(1, keepdims=True), decimals), 10.0 ** -decimals)
        cases.append(multiclass_case(name, labels, raw))
    return cases


def regression_case(name, actual, predicted, training=None):
    a, p = np.asarray(actual, float), np.asarray(predicted, float)
    e = p - a
    zero = a == 0
    both = np.abs(a) + np.abs(p)
    smape = np.where(both > 0, 2 * np.abs(e) / np.where(both > 0, both, 1), 0)
    case = {
        "name": name, "actual": floats(a), "predicted": floats(p),
        "mae": float(m.mean_absolute_error(a, p)), "mae_interval": mean_interval(np.abs(e)),
        "rmse": float(m.root_mean_squared_error(a, p)),
        "mape_sklearn": float(m.mean_absolute_percentage_error(a, p)),
        "mape_without_zeros":
            float(m.mean_absolute_percentage_error(a[~zero], p[~zero])) if (~zero).any() else None,
        "smape": float(smape.mean()), "bias": float(e.mean()), "bias_interval": mean_interval(e),
        "median_absolute_error": float(m.median_absolute_error(a, p)),
        "directional_accuracy": float(np.mean(np.sign(np.diff(a)) == np.sign(np.diff(p)))),
        "r2": float(m.r2_score(a, p)) if a.std() > 0 else None,
    }
    if a.std() > 0:
        d2, u = (a - a.mean()) ** 2, e ** 2
        v = d2.mean()
        influence = -(u - u.mean()) / v + u.mean() * (d2 - v) / v ** 2
        case["r2_error"] = float(influence.std() / np.sqrt(len(a)))
    if training is not None:
        naive = float(np.abs(np.diff(training)).mean())
        case |= {"training": floats(training), "naive_error": naive, "mase": case["mae"] / naive}
    return case


def regression():
    cases = []
    for name, n, offset, scale in [("plain", 150, 20, 5), ("far from zero", 150, 1e6, 3), ("heavy", 150, 0, 1)]:
        a = offset + (rng.standard_t(3, n) if name == "heavy" else rng.normal(size=n)) * scale
        p = a + rng.normal(0.1, 0.5, n) * scale
        cases.append(regression_case(name, a, p, np.cumsum(rng.normal(size=60))))
    cases.append(regression_case("zero targets", [0, 1, 2, 0, 4, 0], [0, 1.5, 2, 0.5, 3, -1]))
    cases.append(regression_case("all zero", [0, 0, 0], [0, 1, 2]))
    cases.append(regression_case("constant", [3, 3, 3, 3], [3, 4, 2, 3]))
    cases.append(regression_case("perfect", [1, 2, 4], [1, 2, 4]))
    cases.append(regression_case("worse than the mean", [1, 2, 3, 4], [4, 3, 2, 1]))
    return cases


def tails():
    return {
        "student_sf": [{"t": t, "dof": d, "p": float(stats.t.sf(t, d))}
                       for d in [1, 2, 3.5, 10, 120, 5000.25, 1e9] for t in [-2, 0, 0.3, 1.96, 4, 12]],
        "student_quantile": [{"p": p, "dof": d, "t": float(stats.t.ppf(p, d))}
                             for d in [1, 2, 3.5, 10, 120, 5000.25, 1e7, 1e9] for p in [0.5, 0.9, 0.975, 0.9995]],
        "normal_quantile": [{"p": p, "z": float(stats.norm.ppf(p))}
                            for p in [1e-12, 1e-4, 0.025, 0.3, 0.5, 0.84, 0.975, 0.99999]],
        "wilson": [{"hits": h, "rows": n, "interval": wilson(h, n)}
                   for h, n in [(0, 1), (1, 1), (0, 30), (30, 30), (7, 40), (5000, 9000)]],
        "rise": [{"a": a, "n": n, "b": b, "m": k, "p": float(
                    stats.fisher_exact([[b, k - b], [a, n - a]], alternative="greater").pvalue)}
                 for a, n, b, k in [(1, 40, 5, 30), (0, 1000, 2, 20), (3, 9, 3, 9), (38, 40, 29, 30), (2, 8, 0, 9),
                                    (0, 9, 9, 9), (999, 1000, 12, 20)]],
    }


def bootstrap():
    cases = []
    for name, values in [("skewed", rng.exponential(size=60)), ("plain", rng.normal(3, 1, 200))]:
        for statistic, f in [("mean", np.mean), ("deviation", np.std)]:
            ci = stats.bootstrap((values,), f, n_resamples=20_000, method="BCa", rng=np.random.default_rng(SEED))
            cases.append({"name": name, "statistic": statistic, "values": floats(values),
                          "interval": [float(ci.confidence_interval.low), float(ci.confidence_interval.high)]})
    return cases


def calibrators():
    cases = []
    for name, n, decimals in [("plain", 200, 6), ("tied", 150, 1), ("few", 8, 3)]:
        scores = np.round(rng.random(n), decimals)
        labels = (rng.random(n) < scores ** 2).astype(int)
        labels[0], labels[1] = 0, 1
        at = np.linspace(-0.2, 1.2, 29)
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
        a, b = _sigmoid_calibration(scores, labels)
        cases.append({"name": name, "scores": floats(scores), "labels": labels.tolist(), "at": floats(at),
                      "isotonic": floats(isotonic.predict(at)), "platt": floats(expit(-(a * at + b)))})
    return cases


document = {
    "origin": "written by generate.py, which stands beside this file; the data are random numbers",
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__},
    "seed": SEED,
    "binary": binary(), "classes": classes(), "multiclass": multiclass(), "regression": regression(),
    "tails": tails(), "bootstrap": bootstrap(), "calibrators": calibrators(),
}
path = pathlib.Path(__file__).with_name("metrics.json")
path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
