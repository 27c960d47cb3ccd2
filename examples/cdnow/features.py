"""Features of a customer at a cut-off, from the CDNOW transactions.

    python features.py CDNOW_master.txt 1997-12-30 > features.csv

Only transactions up to and on the cut-off count. The columns are the deployment's inputs; what is
computed from them for the model (logarithms, scaling, filling gaps) is the plugins' work, in serving and
in training alike.
"""

import csv
import datetime
import sys
from collections import defaultdict

# Column: what it is. All are fp32; weeks are days / 7.
COLUMNS = {
    "recency_weeks": "since the last purchase",
    "tenure_weeks": "since the first purchase",
    "frequency": "days on which something was bought",
    "recent_frequency": "those within the last 13 weeks",
    "monetary": "dollars spent",
    "recent_monetary": "those within the last 13 weeks",
    "avg_order_value": "dollars spent on an average such day",
    "cds": "CDs bought",
    "gap_weeks": "mean time between two such days; missing for who came once",
}
NULLABLE = ["gap_weeks"]
RECENT_DAYS = 13 * 7


def read_transactions(path):
    """Transactions by customer: {id: [(date, CDs, dollars)]}, in order of time."""
    customers = defaultdict(list)
    with open(path, encoding="ascii") as lines:
        next(lines)  # the header
        for line in lines:
            customer, date, cds, dollars = line.split()
            date = datetime.datetime.strptime(date, "%Y%m%d").date()
            customers[customer].append((date, int(cds), float(dollars)))
    return {customer: sorted(rows) for customer, rows in sorted(customers.items())}


def features(transactions, cutoff):
    """One customer's features at the end of the day `cutoff`; None if nothing was bought yet."""
    past = [row for row in transactions if row[0] <= cutoff]
    if not past:
        return None
    days = sorted({date for date, _, _ in past})
    recent = [row for row in past if (cutoff - row[0]).days < RECENT_DAYS]
    monetary = sum(dollars for _, _, dollars in past)
    return {
        "recency_weeks": (cutoff - days[-1]).days / 7,
        "tenure_weeks": (cutoff - days[0]).days / 7,
        "frequency": len(days),
        "recent_frequency": len({date for date, _, _ in recent}),
        "monetary": monetary,
        "recent_monetary": sum(dollars for _, _, dollars in recent),
        "avg_order_value": monetary / len(days),
        "cds": sum(cds for _, cds, _ in past),
        "gap_weeks": (days[-1] - days[0]).days / 7 / (len(days) - 1) if len(days) > 1 else None,
    }


def bought(transactions, after, until):
    """Did the customer buy anything after the day `after`, until and on the day `until`?"""
    return any(after < date <= until for date, _, _ in transactions)


def write_csv(file, rows, columns):
    """Rows as CSV. Six decimals are more than an fp32 keeps of these; a missing value is empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([format_value(row[column]) for column in columns])


def format_value(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)


if __name__ == "__main__":
    path, cutoff = sys.argv[1], datetime.date.fromisoformat(sys.argv[2])
    rows = []
    for customer, transactions in read_transactions(path).items():
        row = features(transactions, cutoff)
        if row is not None:
            rows.append({"customer_id": customer, **row})
    write_csv(sys.stdout, rows, ["customer_id", *COLUMNS])
