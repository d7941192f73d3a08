"""The environments of a process, opened when they are first needed and replaced when they fail."""

from collections.abc import Callable

from quickstudy.protocol.host_distribution import HostEnvironment


class Environments:
    """Environments by their numbers.

    Args:
      open_one: opens an environment; a distribution's `open`.
    The attribute `opened` holds those that are open, by their numbers.
    """

    def __init__(self, open_one: Callable[[], HostEnvironment]):
        self._open_one = open_one
        self.opened: dict[int, HostEnvironment] = {}

    def __getitem__(self, number: int) -> HostEnvironment:
        if number not in self.opened:
            self.opened[number] = self._open_one()
        return self.opened[number]

    def drop(self, number: int) -> None:
        """Closes an environment that may be broken; the next use of its number opens another."""
        try:
            self.opened.pop(number).close()
        except Exception:  # it is broken, or it was never opened
            self.opened.pop(number, None)

    def close(self) -> None:
        """Closes all of them."""
        for number in list(self.opened):
            self.drop(number)
