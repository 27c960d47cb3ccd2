"""Score customers over HTTP with nothing but Python's standard library.

    python score.py http://127.0.0.1:8080 test_customers.csv

Where the server wants a key, it is taken from the environment variable CAISSON_KEY.
"""

import csv
import json
import os
import sys
import urllib.error
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
    headers = {"Content-Type": "application/json"}
    if "CAISSON_KEY" in os.environ:
        headers["Authorization"] = f"Bearer {os.environ['CAISSON_KEY']}"
    request = urllib.request.Request(
        f"{server}/v1/deployments/cdnow-repurchase/predict", json.dumps({"rows": rows}).encode(), headers
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["rows"]
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{refusal.code}: {json.load(refusal)['error']}")
    except urllib.error.URLError as error:
        sys.exit(f"no answer from {server}: {error.reason}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    server, path = sys.argv[1].rstrip("/"), sys.argv[2]
    rows = list(rows_of(path))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        for row in predict(server, rows[start : start + ROWS_AT_ONCE]):
            print(f"{row['customer_id']:>6}  {row['probability']:.3f}  {row['decision']}")
