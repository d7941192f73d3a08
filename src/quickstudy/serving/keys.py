"""The randomness of served sessions: a key for each lifetime, from names alone.

So every server that knows the seed draws the same key, and nothing needs to be stored.
"""

import hashlib

import numpy as np


def lifetime_key(seed: int, stream: str, lifetime: int, *, words: int) -> np.ndarray:
    """Key data `[words]` of the agent's randomness in one lifetime.

    Args:
      seed: of the served agent.
      stream: of the session.
      lifetime: its number within the session.
      words: of a key of JAX.
    """
    text = f"{seed}\0{stream}\0{lifetime}".encode()
    return np.frombuffer(hashlib.sha256(text).digest(), "<u4")[:words].astype(np.uint32)
