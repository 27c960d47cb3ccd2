"""python serve.py PORT: as many workers as the comparison names."""

import os
import sys

import uvicorn

if __name__ == "__main__":
    uvicorn.run(
        "app:app",
        app_dir=os.path.dirname(__file__),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        workers=int(os.environ["COMPARE_WORKERS"]),
        access_log=False,
        log_level="warning",
    )
