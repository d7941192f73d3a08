"""What the number of training seeds means for an interval, in sentences."""

from collections.abc import Mapping

from quickstudy.evaluation.numbers import listed

ENOUGH_SEEDS = 5
"""With at least this many training seeds, the bootstrap intervals need no warning."""


def seeds_sentences(seeds: Mapping[str, int]) -> list[str]:
    """A sentence for each number of seeds below `ENOUGH_SEEDS`; none where there are enough.

    Args:
      seeds: training seeds of each trained agent, by name.
    """
    names_by_seeds: dict[int, list[str]] = {}
    for name, count in seeds.items():
        names_by_seeds.setdefault(count, []).append(name)
    said = []
    for count, names in sorted(names_by_seeds.items()):
        if count == 1:
            was = "was" if len(names) == 1 else "were"
            said.append(f"{listed(names)} {was} trained once: the intervals cover the tasks only, not the training.")
        elif count < ENOUGH_SEEDS:
            has = "has" if len(names) == 1 else "have"
            said.append(f"{listed(names)} {has} {count} training seeds: the intervals are somewhat too narrow.")
    return said
