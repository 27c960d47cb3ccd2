"""Reference values for the first-party transforms and validators.

Runs each plugin's counterpart in NumPy, pandas, scikit-learn or lifetimes on small seeded data and
writes what went in, the plugin's config (the fitted numbers) and what came out to `<plugin>.json`
beside this file. The plugins' tests read those files; nothing else does.

    pip install numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 lifetimes==0.11.3
    python transforms.py
"""

import json
import math
import pathlib
import sys
import warnings

import lifetimes.datasets
import lifetimes.utils
import numpy as np
import pandas as pd
import sklearn
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

HERE = pathlib.Path(__file__).parent
VERSIONS = {
    "python": sys.version.split()[0],
    "numpy": np.__version__,
    "pandas": pd.__version__,
    "scikit-learn": sklearn.__version__,
    "lifetimes": lifetimes.__version__,
}
RNG = np.random.default_rng(20240229)
TYPES = {
    "float32": "fp32", "float64": "fp64", "int8": "int8", "int16": "int16", "int32": "int32",
    "int64": "int64", "uint8": "uint8", "uint64": "uint64", "bool": "boolean",
}


def cell(value):
    """JSON has no NaN and no infinity: they are strings here. None is a missing value."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (str, bool, np.bool_)):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def column(name, values, kind=None, shape=(), nullable=False):
    """A column; the elements of one with a shape are listed flat, row by row."""
    if kind is None:
        kind = TYPES[str(np.asarray(values).dtype)]
    flat = values.reshape(-1) if isinstance(values, np.ndarray) else values
    made = {"name": name, "type": kind, "values": [cell(v) for v in flat]}
    if shape:
        made["shape"] = list(shape)
    if nullable or any(v is None for v in made["values"]):
        made["nullable"] = True
    return made


def columns(names, matrix, **more):
    return [column(n, np.ascontiguousarray(matrix[:, i]), **more) for i, n in enumerate(names)]


def gaps(values):
    """The same with None where a float is NaN: missing, rather than a value that is NaN."""
    return [None if isinstance(v, (float, np.floating)) and math.isnan(v) else v for v in values]


def write(plugin, cases):
    text = json.dumps({"versions": VERSIONS, "cases": cases}, allow_nan=False, ensure_ascii=False)
    text = text.replace('{"name": ', '\n{"name": ').replace("}]}]}", "}]}\n]}")
    (HERE / f"{plugin}.json").write_text(text + "\n", encoding="utf-8")
    print(plugin, len(cases), "cases", len(text), "bytes")


def case(name, config, inputs, outputs, tolerance=0.0):
    return {"name": name, "config": config, "input": inputs, "output": outputs, "tolerance": tolerance}


def impute():
    names = ["a", "b", "c"]
    cases = []
    for dtype in (np.float32, np.float64):
        x = RNG.normal(10, 4, (12, 3)).astype(dtype)
        x[RNG.random(x.shape) < 0.3] = np.nan
        x[0] = np.nan
        for strategy in ("mean", "median", "most_frequent", "constant"):
            fill = {"fill_value": -1.5} if strategy == "constant" else {}
            fitted = SimpleImputer(strategy=strategy, **fill).fit(x)
            config = {"columns": dict(zip(names, map(float, fitted.statistics_)))}
            out = columns(names, fitted.transform(x))
            kind = TYPES[str(x.dtype)]
            cases.append(case(f"SimpleImputer {strategy} {kind}, NaN", config | {"nan": True}, columns(names, x), out))
            missing = [column(n, gaps(x[:, i]), kind) for i, n in enumerate(names)]
            cases.append(case(f"SimpleImputer {strategy} {kind}, missing", config, missing, out))
        # One column with a shape, its own value for each element.
        fitted = SimpleImputer(strategy="mean").fit(x)
        config = {"columns": {"t": [float(v) for v in fitted.statistics_]}, "nan": True}
        cases.append(
            case(f"SimpleImputer mean {kind}, one column of three", config,
                 [column("t", x, shape=[3])], [column("t", fitted.transform(x), shape=[3])])
        )
        fitted = SimpleImputer(strategy="mean", add_indicator=True).fit(x)
        out = fitted.transform(x)
        marks = fitted.get_feature_names_out(names)[3:]
        config = {
            "columns": dict(zip(names, map(float, fitted.statistics_))),
            "nan": True, "add_indicator": True, "indicator_type": kind,
        }
        cases.append(
            case(f"SimpleImputer add_indicator {kind}", config, columns(names, x),
                 columns(names, out[:, :3]) + columns(list(marks), out[:, 3:]))
        )
    text = np.array([["x"], [None], ["y"], ["x"], [None]], dtype=object)
    fitted = SimpleImputer(missing_values=None, strategy="most_frequent").fit(text)
    cases.append(
        case("SimpleImputer most_frequent text", {"columns": {"s": fitted.statistics_[0]}},
             [column("s", list(text[:, 0]), "text")], [column("s", list(fitted.transform(text)[:, 0]), "text")])
    )
    write("impute", cases)


def standardize():
    cases = []
    names = [f"f{i}" for i in range(5)]
    for dtype in (np.float32, np.float64):
        x = (RNG.normal(0, 1, (20, 5)) * [1, 1e3, 1e-3, 7, 0] + [0, 1e6, 5, -3, 4.25]).astype(dtype)
        kind = TYPES[str(x.dtype)]
        for mean, std in ((True, True), (True, False), (False, True)):
            fitted = StandardScaler(with_mean=mean, with_std=std).fit(x)
            per = [
                ({"mean": float(fitted.mean_[i])} if mean else {}) | ({"scale": float(fitted.scale_[i])} if std else {})
                for i in range(5)
            ]
            new = x[:6].copy()
            new[1, 0], new[2, 3] = np.nan, np.nan
            out = fitted.transform(new)
            title = f"StandardScaler {kind} with_mean={mean} with_std={std}"
            cases.append(case(title, {"columns": dict(zip(names, per))}, columns(names, new), columns(names, out)))
            whole = {k: [p[k] for p in per] for k in per[0]}
            cases.append(
                case(title + ", one column", {"columns": {"t": whole}},
                     [column("t", new, shape=[5])], [column("t", out, shape=[5])])
            )
        fitted = StandardScaler().fit(x)
        cases.append(
            case(f"StandardScaler {kind}, a fitted variance of zero", {"columns": {"f4": {"mean": 4.25, "scale": 0}}},
                 [column("f4", new[:, 4].copy())], [column("f4", fitted.transform(new)[:, 4].copy())])
        )
        gap = [None if i % 3 == 0 else v for i, v in enumerate(new[:, 1])]
        out = [None if g is None else v for g, v in zip(gap, fitted.transform(new)[:, 1])]
        cases.append(
            case(f"StandardScaler {kind}, missing stays missing",
                 {"columns": {"f1": {"mean": float(fitted.mean_[1]), "scale": float(fitted.scale_[1])}}},
                 [column("f1", gap, kind)], [column("f1", out, kind)])
        )
    ints = RNG.integers(-(2**40), 2**40, (8, 1))
    fitted = StandardScaler().fit(ints)
    config = {"columns": {"n": {"mean": float(fitted.mean_[0]), "scale": float(fitted.scale_[0])}}}
    out = fitted.transform(ints)[:, 0]
    cases.append(case("StandardScaler int64", config, [column("n", ints[:, 0].copy())], [column("n", out)]))
    cases.append(
        case("StandardScaler int64 to fp32", config | {"type": "fp32"},
             [column("n", ints[:, 0].copy())], [column("n", out.astype(np.float32))])
    )
    write("standardize", cases)


def one_hot():
    cases = []
    train = pd.DataFrame({
        "city": ["Kiel"] * 6 + ["Bonn"] * 5 + ["Ulm"] * 2 + ["Jena"] * 1,
        "plan": ["free", "paid"] * 7,
        "size": [1, 2, 3, 3, 2, 1, 1] * 2,
    })
    test = pd.DataFrame({
        "city": ["Ulm", "Kiel", "Jena", "Bonn", "Köln"], "plan": ["paid", "free", "paid", "free", "none"],
        "size": [3, 1, 2, 9, 3],
    })
    known = test.iloc[[0, 1, 2]].reset_index(drop=True)
    for drop in (None, "first", "if_binary", ["Kiel", "paid", 2]):
        for unknown in ("error", "ignore", "infrequent_if_exist"):
            for rare in (None, 3):
                if isinstance(drop, list) and rare:
                    continue
                fitted = OneHotEncoder(
                    drop=drop, handle_unknown=unknown, min_frequency=rare, sparse_output=False, dtype=np.float32
                ).fit(train)
                data = known if unknown == "error" else test
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    out = fitted.transform(data)
                config = {"columns": {}, "handle_unknown": unknown}
                for i, name in enumerate(train.columns):
                    entry = {"categories": [cell(c) for c in fitted.categories_[i]]}
                    if rare and fitted.infrequent_categories_[i] is not None:
                        entry["infrequent"] = [cell(c) for c in fitted.infrequent_categories_[i]]
                    if isinstance(drop, list):
                        entry["drop"] = {"category": drop[i]}
                    elif drop:
                        entry["drop"] = drop
                    config["columns"][name] = entry
                outputs = [n.replace("infrequent_sklearn", "infrequent") for n in fitted.get_feature_names_out()]
                inputs = [
                    column("city", list(data["city"]), "text"), column("plan", list(data["plan"]), "text"),
                    column("size", data["size"].to_numpy()),
                ]
                title = f"OneHotEncoder drop={drop} handle_unknown={unknown} min_frequency={rare}"
                cases.append(case(title, config, inputs, columns(outputs, out)))
                widths = [sum(n.startswith(name + "_") for n in outputs) for name in train.columns]
                parts = np.split(out, np.cumsum(widths)[:-1], axis=1)
                tensors = [
                    column(name, np.ascontiguousarray(part), shape=[part.shape[1]])
                    for name, part in zip(train.columns, parts)
                ]
                cases.append(case(title + ", tensors", config | {"output": "tensor"}, inputs, tensors))
    gap = pd.DataFrame({"city": np.array(["Kiel", None, "Bonn"], dtype=object)})
    fitted = OneHotEncoder(sparse_output=False).fit(gap)
    cases.append(
        case("OneHotEncoder with a category for missing values",
             {"columns": {"city": {"categories": gaps(fitted.categories_[0])}}, "type": "fp64"},
             [column("city", gaps(gap["city"]), "text")],
             columns(["city_Bonn", "city_Kiel", "city_missing"], fitted.transform(gap)))
    )
    write("one-hot", cases)


def clip():
    cases = []
    special = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e30, -1e30]
    for dtype in (np.float32, np.float64):
        x = np.concatenate([RNG.normal(0, 3, 10), special]).astype(dtype)
        for low, high in ((-1.1, 2.3), (None, 0.7), (0.1, None)):
            bounds = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
            cases.append(
                case(f"np.clip {x.dtype} {low} {high}", {"columns": {"x": bounds}},
                     [column("x", x)], [column("x", np.clip(x, low, high))])
            )
        m = RNG.normal(0, 3, (6, 3)).astype(dtype)
        low, high = [-1.0, -2.0, 0.0], [1.0, 2.0, 0.5]
        cases.append(
            case(f"np.clip {x.dtype}, bounds for each element", {"columns": {"t": {"min": low, "max": high}}},
                 [column("t", m, shape=[3])],
                 [column("t", np.clip(m, np.array(low, dtype), np.array(high, dtype)), shape=[3])])
        )
    for dtype in (np.int8, np.int64, np.uint8, np.uint64):
        info = np.iinfo(dtype)
        x = np.array([info.min, info.max, 0, 1, 50, 100], dtype)
        cases.append(
            case(f"np.clip {x.dtype}", {"columns": {"x": {"min": 1, "max": 100}}},
                 [column("x", x)], [column("x", np.clip(x, 1, 100))])
        )
    write("clip", cases)


def log1p():
    cases = []
    special = [0.0, -0.0, 1e-12, -0.5, -1.0, -2.0, np.nan, np.inf, -np.inf, 1e30]
    for dtype, tolerance in ((np.float32, 2e-7), (np.float64, 4e-16)):
        x = np.concatenate([RNG.lognormal(2, 3, 15), special]).astype(dtype)
        with np.errstate(all="ignore"):
            out = np.log1p(x)
            signed = np.sign(x) * np.log1p(np.abs(x))
        cases.append(case(f"np.log1p {x.dtype}", {"columns": ["x"]}, [column("x", x)], [column("x", out)], tolerance))
        cases.append(
            case(f"np.sign(x) * np.log1p(np.abs(x)) {x.dtype}", {"columns": ["x"], "signed": True},
                 [column("x", x)], [column("x", signed)], tolerance)
        )
        cases.append(
            case(f"np.log1p {x.dtype}, input kept", {"columns": ["x"], "suffix": "_log1p"},
                 [column("x", x)], [column("x", x), column("x_log1p", out)], tolerance)
        )
    n = np.array([0, 1, 2**53 + 1, 2**63 - 1])
    cases.append(case("np.log1p int64", {"columns": ["n"]}, [column("n", n)], [column("n", np.log1p(n))], 4e-16))
    cases.append(
        case("np.log1p int64 to fp32", {"columns": ["n"], "type": "fp32"},
             [column("n", n)], [column("n", np.log1p(n).astype(np.float32))], 2e-7)
    )
    write("log1p", cases)


def bucketize():
    cases = []
    x = np.array([-np.inf, -5, 0, 0.5, 18, 18.0001, 30, 64.9, 65, 200, np.inf])
    edges = [0.0, 18.0, 30.0, 65.0]
    for right in (False, True):
        for dtype in (np.float32, np.float64):
            out = np.digitize(x.astype(dtype), np.array(edges, dtype), right=right)
            cases.append(
                case(f"np.digitize right={right} {np.dtype(dtype)}",
                     {"columns": {"x": {"edges": edges, "right": right, "nan": "last"}}},
                     [column("x", x.astype(dtype))], [column("x", out)])
            )
        out = pd.cut(x, edges, right=right)
        codes = [None if c < 0 else int(c) for c in out.codes]
        cases.append(
            case(f"pd.cut right={right}",
                 {"columns": {"x": {"edges": edges, "right": right, "outside": "missing"}}},
                 [column("x", x)], [column("x", codes, "int64")])
        )
        labels = ["child", "young", "middle"]
        out = pd.cut(x, edges, right=right, labels=labels)
        named = [None if c < 0 else labels[c] for c in out.codes]
        cases.append(
            case(f"pd.cut right={right} labels",
                 {"columns": {"x": {"edges": edges, "right": right, "outside": "missing", "labels": labels,
                                    "into": "band"}}},
                 [column("x", x)], [column("x", x), column("band", named, "text")])
        )
    nan = np.array([np.nan, 20.0])
    cases.append(
        case("np.digitize NaN", {"columns": {"x": {"edges": edges, "nan": "last"}}},
             [column("x", nan)], [column("x", np.digitize(nan, edges))])
    )
    down = np.array([7, -3, 18, 30, 31], dtype=np.int64)
    cases.append(
        case("np.digitize int64", {"columns": {"x": {"edges": edges}}},
             [column("x", down)], [column("x", np.digitize(down, edges))])
    )
    train = RNG.gamma(2, 10, (200, 1))
    for strategy in ("uniform", "quantile", "kmeans"):
        extra = {"quantile_method": "averaged_inverted_cdf"} if strategy == "quantile" else {}
        fitted = KBinsDiscretizer(n_bins=5, encode="ordinal", strategy=strategy, **extra).fit(train)
        bins = [float(e) for e in fitted.bin_edges_[0]]
        data = np.concatenate([RNG.gamma(2, 12, 12), bins, [-1.0, 1e6]])
        out = fitted.transform(data.reshape(-1, 1))[:, 0]
        cases.append(
            case(f"KBinsDiscretizer {strategy}",
                 {"columns": {"x": {"edges": bins, "outside": "clip", "type": "fp64"}}},
                 [column("x", data)], [column("x", out)])
        )
    write("bucketize", cases)


PARTS = {
    "year": lambda t: t.year, "quarter": lambda t: t.quarter, "month": lambda t: t.month,
    "week": lambda t: t.isocalendar()[1], "day": lambda t: t.day, "day_of_year": lambda t: t.day_of_year,
    "day_of_week": lambda t: t.day_of_week, "days_in_month": lambda t: t.days_in_month, "hour": lambda t: t.hour,
    "minute": lambda t: t.minute, "second": lambda t: t.second,
    "season": lambda t: t.month % 12 // 3,
    "is_weekend": lambda t: t.day_of_week >= 5,
    "is_month_start": lambda t: t.is_month_start, "is_month_end": lambda t: t.is_month_end,
    "is_leap_year": lambda t: t.is_leap_year,
    "is_holiday": lambda t: t.strftime("%Y-%m-%d") in HOLIDAYS,
}
HOLIDAYS = ["2024-12-25", "2024-02-29", "1999-12-31"]
FLAGS = {"is_weekend", "is_month_start", "is_month_end", "is_leap_year", "is_holiday"}
CYCLES = {
    "month": lambda t: ((t.month - 1), 12), "day_of_week": lambda t: (t.day_of_week, 7),
    "day_of_year": lambda t: (t.day_of_year - 1, 366 if t.is_leap_year else 365),
    "day": lambda t: (t.day - 1, t.days_in_month), "hour": lambda t: (t.hour, 24),
    "minute": lambda t: (t.minute, 60), "second": lambda t: (t.second, 60),
}


def datetime_parts():
    stamps = [pd.Timestamp(int(s), unit="s") for s in RNG.integers(-3_000_000_000, 4_000_000_000, 6)]
    stamps += [pd.Timestamp(t) for t in (
        "2024-02-29 12:30:59", "2024-12-25 00:00:00", "2020-12-31 23:59:59", "2021-01-01 00:00:00",
        "1999-12-31 06:07:08", "1970-01-01 00:00:00", "1969-12-31 23:59:59", "2000-02-29 00:00:01",
        "1900-02-28 23:00:00", "2008-12-29 01:00:00", "2010-01-03 22:00:00", "2026-11-25 04:05:06",
    )]

    def outputs(local, name="t", floats=None):
        made = []
        for part, of in PARTS.items():
            values = [of(t) for t in local]
            if floats:
                values, kind = [float(v) for v in values], floats
            else:
                kind = "boolean" if part in FLAGS else "int32"
                values = [bool(v) if part in FLAGS else int(v) for v in values]
            made.append(column(f"{name}_{part}", values, kind))
        for part, of in CYCLES.items():
            pairs = [of(t) for t in local]
            angles = np.array([2 * np.pi * k / n for k, n in pairs])
            kind = np.float64 if floats == "fp64" else np.float32
            made.append(column(f"{name}_{part}_sin", np.sin(angles).astype(kind)))
            made.append(column(f"{name}_{part}_cos", np.cos(angles).astype(kind)))
        return made

    config = {
        "columns": {"t": {"parts": list(PARTS), "cyclic": list(CYCLES)}}, "holidays": HOLIDAYS,
    }

    def unit(u):
        entry = dict(config["columns"]["t"], unit=u)
        return config | {"columns": {"t": entry}}

    seconds = np.array([int(t.timestamp()) for t in stamps])
    cases = []
    for u, per in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        cases.append(
            case(f"pandas, int64 {u}", unit(u), [column("t", seconds * per + (per // 2))], outputs(stamps), 1e-7)
        )
    cases.append(
        case("pandas, int32 days", unit("days"), [column("t", (seconds // 86400).astype(np.int32))],
             outputs([t.normalize() for t in stamps]), 1e-7)
    )
    text = [t.strftime("%Y-%m-%dT%H:%M:%S") for t in stamps]
    cases.append(case("pandas, text without offset", config, [column("t", text, "text")], outputs(stamps), 1e-7))
    text = [t.strftime("%Y-%m-%d %H:%M:%S") + ".25+05:30" for t in stamps]
    moved = [t - pd.Timedelta(hours=5, minutes=30) for t in stamps]
    cases.append(
        case("pandas, text at +05:30 read in UTC", config, [column("t", text, "text")], outputs(moved), 1e-7)
    )
    moved = [t - pd.Timedelta(hours=8) for t in stamps]
    text = [t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in stamps]
    cases.append(
        case("pandas, text in UTC read at -08:00", config | {"utc_offset": "-08:00"},
             [column("t", text, "text")], outputs(moved), 1e-7)
    )
    text = [t.strftime("%Y-%m-%d") for t in stamps]
    for floats in ("fp32", "fp64"):
        cases.append(
            case(f"pandas, dates, all parts {floats}", config | {"type": floats},
                 [column("t", text, "text")], outputs([t.normalize() for t in stamps], floats=floats), 1e-7)
        )
    write("datetime-parts", cases)


def ratio():
    cases = []
    for a, b in ((np.float32, np.float32), (np.float64, np.float64), (np.int64, np.int32), (np.float32, np.int32)):
        if a is np.int64:
            x = np.array([1, -7, 0, 2**53 + 1], a)
        else:
            x = np.array([1.5, -7.25, 0.0, 1e10], a)
        y = np.array([3, 7, -2, 9], b)
        out = np.divide(x, y)
        cases.append(
            case(f"np.divide {np.dtype(a)} {np.dtype(b)}",
                 {"ratios": [{"name": "r", "numerator": "x", "denominator": "y", "zero": "ieee"}]},
                 [column("x", x), column("y", y)], [column("x", x), column("y", y), column("r", out)])
        )
    x = np.array([1.0, -1.0, 0.0, np.nan, np.inf, 5.0])
    y = np.array([0.0, 0.0, 0.0, 0.0, np.inf, -0.0])
    with np.errstate(all="ignore"):
        out = x / y
    inputs = [column("x", x), column("y", y)]
    one = {"name": "r", "numerator": "x", "denominator": "y"}
    cases.append(case("np.divide by zero", {"ratios": [one | {"zero": "ieee"}]}, inputs, inputs + [column("r", out)]))
    filled = np.where(y == 0, -1.0, out)
    cases.append(
        case("np.where(y == 0, -1, x / y)", {"ratios": [one | {"zero": -1}], "drop_inputs": True},
             inputs, [column("r", filled)])
    )
    gap = [None if d == 0 else q for d, q in zip(y, out)]
    cases.append(
        case("no ratio by zero", {"ratios": [one], "drop_inputs": True}, inputs, [column("r", gap, "fp64")])
    )
    write("ratio", cases)


def rfm():
    """lifetimes (MIT licence) on customers of the CDNOW sample in it; groupby for the marketing measures."""
    log = lifetimes.datasets.load_dataset("CDNOW_sample.txt", header=None, sep=r"\s+")
    log = log[[1, 2, 4]].set_axis(["id", "date", "amount"], axis=1)
    log["date"] = pd.to_datetime(log["date"].astype(str))
    ids = list(RNG.choice(log["id"].unique(), 14, replace=False))
    busiest = log["id"].value_counts().index[40:41]
    twice = log[log.duplicated(["id", "date"])]["id"].unique()[:3]
    ids = sorted(set(map(int, [*ids, *busiest, *twice])))
    log = log[log["id"].isin(ids)]
    end = pd.Timestamp("1997-09-30")
    cases = []

    per = {i: g for i, g in log.groupby("id")}
    width = max(len(g) for g in per.values())
    epoch = pd.Timestamp("1970-01-01")
    order = [per[i].sample(frac=1, random_state=int(i)) for i in ids]
    text = [json.dumps([[d.strftime("%Y-%m-%d"), a] for d, a in zip(g["date"], g["amount"])]) for g in order]
    days = np.full((len(ids), width), np.iinfo(np.int32).min, np.int32)
    amounts = np.full((len(ids), width), np.nan)
    for r, g in enumerate(order):
        days[r, : len(g)] = (g["date"] - epoch).dt.days
        amounts[r, : len(g)] = g["amount"]
    count = np.array([len(g) for g in order], np.int32)
    arrays = [column("days", days, shape=[width]), column("amounts", amounts, shape=[width])]
    texts = [column("log", text, "text")]

    def summary(**options):
        made = lifetimes.utils.summary_data_from_transaction_data(
            log, "id", "date", "amount", observation_period_end=end, **options
        )
        return made.reindex(ids)

    known = log[log["date"] <= end].groupby("id")["amount"]
    average = (known.sum() / known.count()).reindex(ids)
    for title, options in (
        ("", {}), (", weeks", {"freq_multiplier": 7}), (", first included", {"include_first_transaction": True}),
    ):
        made = summary(**options)
        outputs = [
            column(name, gaps(made[name]), "fp64", nullable=True)
            for name in ("recency", "frequency", "T", "monetary_value")
        ] + [column("average_order_value", gaps(average), "fp64", nullable=True)]
        config = {"definition": "lifetimes", "reference_date": "1997-09-30", "type": "fp64"} | options
        cases.append(case("lifetimes" + title + ", text", config | {"transactions": "log"}, texts, outputs, 1e-12))
        source = {"arrays": {"dates": "days", "amounts": "amounts"}}
        cases.append(case("lifetimes" + title + ", arrays", config | source, arrays, outputs, 1e-12))
    filled = [column("days", np.where(days == days.min(), 0, days), shape=[width]),
              column("amounts", np.nan_to_num(amounts), shape=[width]), column("n", count)]
    cases.append(
        case("lifetimes, first included, arrays with a count",
             config | {"arrays": {"dates": "days", "amounts": "amounts", "count": "n"}}, filled, outputs, 1e-12)
    )
    in_seconds = [column("days", days.astype(np.int64) * 86400 + 4321 * (days > 0), shape=[width]),
                  column("amounts", np.nan_to_num(amounts), shape=[width]), column("n", count)]
    cases.append(
        case("lifetimes, first included, arrays in seconds",
             config | {"arrays": {"dates": "days", "amounts": "amounts", "count": "n", "unit": "s"}},
             in_seconds, outputs, 1e-12)
    )

    ends = [end + pd.Timedelta(days=int(d)) for d in RNG.integers(-60, 200, len(ids))]
    rows = []
    for i, last in zip(ids, ends):
        g = per[i][per[i]["date"] <= last]
        if len(g) == 0:
            rows.append([None] * 5)
            continue
        total = float(g["amount"].sum())
        rows.append([
            float((last - g["date"].max()).days), float(len(g)), float((last - g["date"].min()).days), total,
            total / len(g),
        ])
    outputs = [
        column(name, [r[k] for r in rows], "fp64", nullable=True)
        for k, name in enumerate(("recency", "frequency", "T", "monetary_value", "average_order_value"))
    ]
    config = {
        "definition": "marketing", "reference_date": {"column": "as_of"}, "transactions": "log", "type": "fp64",
        "keep": True,
    }
    as_of = column("as_of", [t.strftime("%Y-%m-%d") for t in ends], "text")
    cases.append(case("marketing, text", config, texts + [as_of], texts + [as_of] + outputs, 1e-12))
    write("rfm", cases)


def unique():
    """What pandas' `duplicated(keep="first")` marks."""
    n = 40
    frame = pd.DataFrame({
        "id": RNG.integers(0, 25, n), "city": RNG.choice(["Kiel", "Bonn", "", "Köln"], n),
        "x": RNG.choice([0.0, -0.0, 1.5, np.nan], n).astype(np.float32),
    })
    inputs = [column("id", frame["id"].to_numpy()), column("city", list(frame["city"]), "text"),
              column("x", frame["x"].to_numpy())]
    cases = []
    for keys in (["id"], ["city"], ["x"], ["id", "city"], ["city", "x"], ["id", "city", "x"]):
        marked = [int(r) for r in np.flatnonzero(frame.duplicated(keys))]
        cases.append({"name": f"duplicated({keys})", "config": {"columns": keys}, "input": inputs, "rows": marked})
    write("unique", cases)


if __name__ == "__main__":
    for generate in (impute, standardize, one_hot, clip, log1p, bucketize, datetime_parts, ratio, rfm, unique):
        generate()
