"""Replicas of a session server on Ray Serve, behind one address. They share one PostgreSQL, and hold no session of their own.

    pip install 'quickstudy[serve,ray-serve]'
    python examples/ray_serve.py bundles/bandit-n100-k5-taught postgresql://USER@HOST/DATABASE --replicas 3

Any replica answers any request with the same decision, so replicas may come and go. A client that sends the name of its session
in the header `x-session-id` reaches the same replica each time, which then has the session in memory. That saves a read of the
database, and nothing depends on it.
"""

import argparse
import time

from ray import serve
from ray.serve.config import HTTPOptions, RequestRouterConfig

ROUTER = RequestRouterConfig(request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter")


def application(bundle, store):
    """A function that makes the server of one replica, in its process."""

    def build():
        from quickstudy.serving.engine import Engine
        from quickstudy.serving.http.application import Application
        from quickstudy.serving.http.server import served_from_bundle
        from quickstudy.serving.http.tokens import Tokens
        from quickstudy.serving.policy import SessionPolicy
        from quickstudy.serving.stores import open_store

        opened = open_store(store)
        served = served_from_bundle(bundle, policy=SessionPolicy(at_end="new"))
        return Application(Engine(served, opened), Tokens(opened)).asgi()

    return build


def start(bundle, store, *, replicas, port):
    """Starts the replicas, and returns when they can decide."""
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    sessions = serve.deployment(
        serve.ingress(application(bundle, store))(), name="Sessions", num_replicas=replicas, request_router_config=ROUTER
    )
    serve.run(sessions.bind(), name="quickstudy", route_prefix="/")


def main():
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="the full path of a bundle, which every node of the cluster can read")
    parser.add_argument("store", help="a PostgreSQL database, as postgresql://USER@HOST/DATABASE")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    start(asked.bundle, asked.store, replicas=asked.replicas, port=asked.port)
    print(f"Serving {asked.bundle} at http://127.0.0.1:{asked.port}. Ctrl-C stops.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        serve.shutdown()


if __name__ == "__main__":
    main()
