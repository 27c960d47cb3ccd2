"""Score customers over HTTP with nothing but Python's standard library.

    python score.py http://127.0.0.1:8080 test_customers.csv | head
"""

import csv
import json
import sys
import urllib.request

ROWS_AT_ONCE = 1000


def rows_of(path):
    """Rows of a CSV file: numbers as numbers, an empty cell as a missing value."""
    with open(path, encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            yield {
                name: None if cell == "" else int(cell) if name == "customer_id" else float(cell)
                for name, cell in row.items()
            }


def predict(server, rows):
    request = urllib.request.Request(
        f"{server}/v1/deployments/cdnow-repurchase/predict",
        json.dumps({"rows": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["rows"]


if __name__ == "__main__":
    server, path = sys.argv[1].rstrip("/"), sys.argv[2]
    rows = list(rows_of(path))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        for row in predict(server, rows[start : start + ROWS_AT_ONCE]):
            print(f"{row['customer_id']:>6}  {row['probability']:.3f}  {row['decision']}")
