"""FastAPI as its manual writes it: a pydantic body, a path operation on the event loop."""

import numpy as np
from booster import Booster
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
booster = Booster()


class Rows(BaseModel):
    instances: list[list[float | None]]


@app.post("/booster")
async def with_stages(body: Rows):
    return {"probabilities": booster.with_stages(np.array(body.instances, np.float32)).tolist()}


@app.post("/booster-prepared")
async def prepared(body: Rows):
    return {"probabilities": booster.probabilities(np.array(body.instances, np.float32)).tolist()}
