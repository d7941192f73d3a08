"""Sessions that adapt: their meaning, their storage, and a server.

`Sessions` defines the meaning, in this process and without a disk. `quickstudy serve` is the same over HTTP, with a store.
"""

from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions

__all__ = ["Refusal", "ServedAgent", "SessionPolicy", "Sessions"]
