"""MW Vision's backend: FastAPI under uvicorn, with a health check.

With MW_BREAK=1 in its environment it can also be broken on request, in every way that a real one breaks: that is for
the end-to-end test, and for whoever wants to see what Sereno does about it.
"""

import ctypes
import os
import time

import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import JSONResponse

app = FastAPI(title="MW Vision")
sick = False


@app.get("/")
async def root():
    return {"service": "mw-vision-backend", "pid": os.getpid()}


@app.get("/health")
async def health():
    if sick:
        return JSONResponse({"status": "sick"}, status_code=503)
    return {"status": "healthy"}


def break_exit():
    os._exit(3)


def break_segv():
    ctypes.string_at(0)


def break_sick():
    global sick
    sick = True


async def break_hang():
    # Blocks the event loop: connections are accepted by the kernel, and nobody ever answers.
    while True:
        time.sleep(3600)


async def break_close():
    # Stops listening; the process, and its event loop, live on.
    for listener in server.servers:
        listener.close()


BREAKS = {
    "exit": break_exit,
    "segv": break_segv,
    "sick": break_sick,
    "hang": break_hang,
    "close": break_close,
}


@app.post("/break/{how}")
async def break_it(how: str, after_the_answer: BackgroundTasks):
    if os.environ.get("MW_BREAK") != "1" or how not in BREAKS:
        raise HTTPException(status_code=404)
    after_the_answer.add_task(BREAKS[how])
    return {"broken": how}


server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000"))))

if __name__ == "__main__":
    server.run()
