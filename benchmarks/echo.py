"""The yardstick of the decision path: a FastAPI endpoint that echoes a pydantic body, and nothing else."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Rec(BaseModel):
    """The same body that the decision service is asked with."""

    session_id: str
    unit_id: str | None = None
    context: dict[str, str | float | bool]


app = FastAPI()


@app.post("/v1/recommendations", status_code=201)
async def echo(b: Rec) -> Rec:
    """Give back what came."""
    return b


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        http="httptools",
        loop="uvloop",
    )
