"""An application behind a real socket, in a thread of this process."""

import contextlib
import threading
import time

import httpx
import uvicorn

from serving.postgres import free_port


@contextlib.contextmanager
def client_of_application(application):
    """A client of an application that is ready."""
    port = free_port()
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until_ready(client)
            yield client
    finally:
        server.should_exit = True
        thread.join(60)


def until_ready(client):
    for _ in range(3000):
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(client.get("/readyz").text)
