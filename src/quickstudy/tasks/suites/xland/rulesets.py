"""Generated rulesets of XLand-MiniGrid: a goal, rules that produce objects from objects, and the objects on the grid.

A ruleset is a tree. Its root is the goal, which names one object or two. An object is either on the grid from the start (a
leaf) or produced by a rule from one object or two, its children. `depth` is the length of the longest chain of productions; at
0 all objects of the goal are on the grid. There are also useless objects outside the tree, and rules that turn them, alone or
together with an object of the tree, into another useless object. These dead ends can be avoided, since each needs a useless
object.

Every goal, a relation between certain objects, belongs to exactly one split; the assignment is drawn once for all. So the
splits are disjoint, and the goals of `test` occur in no training task.

    goal       requirement                                   rule       effect
    1  a       pick up a                                     1  a > c   a that is picked up becomes c
    3  a       step, or try to, beside a                     2  a > c   a that one steps beside becomes c
    4  a b     put a beside b, or b beside a                 3  a b > c a put beside b, or b beside a: c in the latter's place
    7-10 a b   ... b above, right of, below, left of a       4-7 a b > c    ... b above, right of, below, left of a
    11-14 a    step where a is above one, and so on          8-11 a > c     a above one, and so on, becomes c

Everything is drawn with NumPy, for all rulesets at once: 20,000 take a fraction of a second.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from quickstudy.protocol.errors import SpecError

SHAPES = {3: "ball", 4: "square", 5: "pyramid", 7: "key", 11: "hex", 12: "star"}
COLOURS = {
    1: "red",
    2: "green",
    3: "blue",
    4: "purple",
    5: "yellow",
    6: "grey",
    8: "orange",
    9: "white",
    10: "brown",
    11: "pink",
}
OBJECTS = np.array([(shape, colour) for shape in SHAPES for colour in COLOURS], np.uint8)
"""`[objects, 2]`: all objects that can be picked up, as the suite numbers its tiles and colours."""
SPLITS = ("train", "test", "ood:deeper", "ood:more-distractors")
_OWNERS = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 3])
"""Seven goals of ten belong to the first split, one to each of the others."""
_SINGLE_GOALS, _PAIR_GOALS = (1, 3), (4,)
_DIRECTED_SINGLE_GOALS, _DIRECTED_PAIR_GOALS = (11, 12, 13, 14), (7, 8, 9, 10)
_SINGLE_RULES, _PAIR_RULES = (1, 2), (3,)
_DIRECTED_SINGLE_RULES, _DIRECTED_PAIR_RULES = (8, 9, 10, 11), (4, 5, 6, 7)
_NONE = len(OBJECTS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """The distribution of rulesets.

    Args:
      depth: largest number of productions in sequence in `train` and `test`, where all depths from 0 on are equally frequent;
        all rulesets of `ood:deeper` have one more.
      branches: largest number of productions beside the longest chain.
      distractors: number of useless objects; three more in `ood:more-distractors`.
      distractor_rules: number of dead ends; one more in `ood:more-distractors`.
      directed: whether goals and rules may require one side of an object.
    Raises:
      SpecError: a number below zero, dead ends without a useless object, or more objects than there are.
    """

    depth: int = 1
    branches: int = 0
    distractors: int = 2
    distractor_rules: int = 1
    directed: bool = False

    def __post_init__(self) -> None:
        for name in ("depth", "branches", "distractors", "distractor_rules"):
            if getattr(self, name) < 0:
                raise SpecError(f"{name} must be 0 or more; came {getattr(self, name)}.")
        if self.distractor_rules and not self.distractors:
            raise SpecError("distractor_rules need distractors of one or more; came 0.")
        if self.nodes + self.most_distractors + self.distractor_rules + 1 > len(OBJECTS):
            raise SpecError(f"depth, branches and distractors ask for more than {len(OBJECTS)} objects. Lower one of them.")

    @property
    def productions(self) -> int:
        """Largest number of productions in any split."""
        return self.depth + 1 + self.branches

    @property
    def nodes(self) -> int:
        """Largest number of objects of a tree."""
        return 2 + 2 * self.productions

    @property
    def most_distractors(self) -> int:
        """Useless objects in the split with the most of them."""
        return self.distractors + 3

    @property
    def rules(self) -> int:
        """Largest number of rules, of the deeper split or of the one with more dead ends."""
        return max(self.productions + self.distractor_rules, self.depth + self.branches + self.distractor_rules + 1)

    @property
    def objects(self) -> int:
        """Largest number of objects on the grid: a production from two parts replaces one leaf by two."""
        return max(2 + self.productions + self.distractors, 2 + self.depth + self.branches + self.most_distractors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rulesets:
    """Rulesets as the suite encodes them, padded with zeros.

    `goal` `[n, 5]`, `rules` `[n, rules, 7]`, `tiles` `[n, objects, 2]` of the objects on the grid, `depth` `[n]`.
    """

    goal: UInt8[np.ndarray, "n 5"]
    rules: UInt8[np.ndarray, "n rules 7"]
    tiles: UInt8[np.ndarray, "n objects 2"]
    depth: UInt8[np.ndarray, " n"]


@functools.lru_cache(maxsize=16)
def rulesets_of(family: Family, split: str, *, count: int, seed: int) -> Rulesets:
    """`count` rulesets of a split; the same for the same arguments, and cached while the program runs."""
    generator = np.random.default_rng([seed, SPLITS.index(split)])
    deeper, more = split == "ood:deeper", split == "ood:more-distractors"
    depth = np.full(count, family.depth + 1) if deeper else generator.integers(family.depth + 1, size=count)
    branches = generator.integers(family.branches + 1, size=count) * (depth > 0)
    goal = _draw_goals(family, split, count, generator)
    # An order of all objects for every ruleset: those of the goal first, then the others at random.
    rank = generator.random((count, _NONE))
    np.put_along_axis(rank, goal[:, 1:2], -2.0, axis=1)
    pair = goal[:, 2] != _NONE
    rank[pair, goal[pair, 2]] = -1.0
    order = np.argsort(rank, axis=1)
    used, leaf, productions = _grow(family, depth, branches, pair, order, generator)
    distractors = family.most_distractors if more else family.distractors
    useless = order[:, family.nodes : family.nodes + distractors]
    waste = order[:, family.nodes + family.most_distractors :]
    dead_ends = [
        _dead_end(family, used, order, useless, waste[:, number], generator) for number in range(family.distractor_rules + more)
    ]
    rules = _packed(np.stack([*productions, *dead_ends], axis=1), family.rules)
    leaves = np.where(leaf, order[:, : family.nodes], _NONE)
    tiles = _packed(_tiles(np.concatenate([leaves, useless], axis=1)), family.objects)
    parts = [goal[:, :1].astype(np.uint8), *(_tiles(goal[:, place]) for place in (1, 2))]
    return Rulesets(goal=np.concatenate(parts, axis=1), rules=rules, tiles=tiles, depth=depth.astype(np.uint8))


@functools.cache
def goals_of(split: str, *, directed: bool = False) -> dict[int, Int[np.ndarray, "goals 2"]]:
    """By number of the goal, the objects of every goal of a split; the second is `len(OBJECTS)` where there is one only."""
    single, pairs = np.arange(_NONE)[:, None], np.stack(np.triu_indices(_NONE, 1), axis=1)
    single = np.concatenate([single, np.full_like(single, _NONE)], axis=1)
    goals = dict.fromkeys(_SINGLE_GOALS, single) | dict.fromkeys(_PAIR_GOALS, pairs)
    goals |= dict.fromkeys(_DIRECTED_SINGLE_GOALS, single)
    goals |= dict.fromkeys(_DIRECTED_PAIR_GOALS, np.concatenate([pairs, pairs[:, ::-1]]))
    generator = np.random.default_rng(0)
    owned = {}
    for number, objects in goals.items():
        owner = generator.permutation(np.resize(_OWNERS, len(objects)))
        owned[number] = objects[owner == SPLITS.index(split)]
    return owned if directed else {number: owned[number] for number in (*_SINGLE_GOALS, *_PAIR_GOALS)}


def _draw_goals(family: Family, split: str, count: int, generator: np.random.Generator) -> Int[np.ndarray, "count 3"]:
    """Number and objects of goals: every number is as frequent, and every goal of a number."""
    owned = goals_of(split, directed=family.directed)
    numbers = np.array(list(owned))[generator.integers(len(owned), size=count)]
    goals = np.empty((count, 3), np.int64)
    goals[:, 0] = numbers
    for number, objects in owned.items():
        asked = numbers == number
        goals[asked, 1:] = objects[generator.integers(len(objects), size=asked.sum())]
    return goals


def _grow(
    family: Family,
    depth: Int[np.ndarray, " n"],
    branches: Int[np.ndarray, " n"],
    pair: Bool[np.ndarray, " n"],
    order: Int[np.ndarray, "n objects"],
    generator: np.random.Generator,
) -> tuple[Bool[np.ndarray, "n nodes"], Bool[np.ndarray, "n nodes"], list[UInt8[np.ndarray, "n 7"]]]:
    """Grows the trees, one production of each at a time: which nodes are used, which are leaves, and the rules.

    Node j is the object `order[:, j]`. The first `depth` productions make one chain; each later one expands any leaf that
    is not as deep as the chain.
    """
    count, rows = len(depth), np.arange(len(depth))
    level = np.full((count, family.nodes), -1)
    level[:, 0] = 0
    level[pair, 1] = 0
    leaf, fresh = level == 0, level == 0
    rules = []
    for production in range(family.productions):
        chained = production < depth
        happens = production < depth + branches
        may = np.where(chained[:, None], fresh, leaf & (level < depth[:, None]))
        happens &= may.any(axis=1)
        parent = np.argmax(may * (1 + generator.random(may.shape)), axis=1)
        double = generator.random(count) < 0.5
        children = (2 + 2 * production, 3 + 2 * production)
        leaf[rows[happens], parent[happens]] = False
        fresh = np.zeros_like(leaf)
        for child, there in zip(children, (happens, happens & double), strict=True):
            level[there, child] = level[there, parent[there]] + 1
            leaf[there, child] = fresh[there, child] = True
        inputs = order[:, children[0]], np.where(double, order[:, children[1]], _NONE)
        rule = _rule(family, *inputs, order[rows, parent], generator)
        rules.append(np.where(happens[:, None], rule, 0).astype(np.uint8))
    return level >= 0, leaf, rules


def _dead_end(
    family: Family,
    used: Bool[np.ndarray, "n nodes"],
    order: Int[np.ndarray, "n objects"],
    useless: Int[np.ndarray, "n distractors"],
    waste: Int[np.ndarray, " n"],
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "n 7"]:
    """A rule that makes waste of a useless object, or of one and an object of the tree."""
    count, rows = len(used), np.arange(len(used))
    one = useless[rows, generator.integers(useless.shape[1], size=count)]
    other = order[rows, np.argmax(used * (1 + generator.random(used.shape)), axis=1)]
    alone = generator.random(count) < 0.5
    return _rule(family, one, np.where(alone, _NONE, other), waste, generator)


def _rule(
    family: Family,
    one: Int[np.ndarray, " n"],
    other: Int[np.ndarray, " n"],
    product: Int[np.ndarray, " n"],
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "n 7"]:
    """Encoded rules out of one object, where `other` is none, or two; their kind is drawn."""
    directed = family.directed
    single = np.array(_SINGLE_RULES + directed * _DIRECTED_SINGLE_RULES)
    pair = np.array(_PAIR_RULES + directed * _DIRECTED_PAIR_RULES)
    alone, count = other == _NONE, len(one)
    kind = np.where(alone, single[generator.integers(len(single), size=count)], pair[generator.integers(len(pair), size=count)])
    nothing = np.zeros((count, 2), np.uint8)
    second = np.where(alone[:, None], _tiles(product), _tiles(other))
    third = np.where(alone[:, None], nothing, _tiles(product))
    return np.concatenate([kind[:, None].astype(np.uint8), _tiles(one), second, third], axis=1)


def _tiles(objects: Int[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n 2"]:
    """Tile and colour of objects by their number; zeros for none."""
    return np.concatenate([OBJECTS, np.zeros((1, 2), np.uint8)])[objects]


def _packed(rows: UInt8[np.ndarray, "n many size"], room: int) -> UInt8[np.ndarray, "n room size"]:
    """What is there before what is not, cut or padded with zeros to so many."""
    empty = rows[..., 0] == 0
    assert (~empty).sum(axis=1).max(initial=0) <= room
    packed = np.take_along_axis(rows, np.argsort(empty, axis=1, kind="stable")[..., None], axis=1)
    padding = np.zeros((len(rows), max(0, room - rows.shape[1]), rows.shape[2]), np.uint8)
    return np.concatenate([packed[:, :room], padding], axis=1)


def in_words(goal: np.ndarray, rules: np.ndarray) -> tuple[str, list[str]]:
    """A goal and the rules that there are, for people."""
    return _goal_in_words(goal), [_rule_in_words(rule) for rule in rules if rule[0]]


def leads_to_goal(goal: np.ndarray, rules: Sequence[np.ndarray]) -> list[bool]:
    """Of each rule, whether the goal needs what it produces."""
    needed, used = {tuple(goal[1:3]), tuple(goal[3:5])}, [False] * len(rules)
    for _ in rules:  # a chain is at most as long as there are rules
        for place, rule in enumerate(rules):
            *parts, product = [tuple(tile) for tile in rule[1:].reshape(-1, 2) if tile[0]]
            if product in needed:
                used[place] = True
                needed |= set(parts)
    return used


_SIDES = ("above", "right of", "below", "left of")


def _name(tile: np.ndarray) -> str:
    return f"{COLOURS[int(tile[1])]} {SHAPES[int(tile[0])]}"


def _goal_in_words(goal: np.ndarray) -> str:
    number, one = int(goal[0]), _name(goal[1:3])
    if number == 1:
        return f"pick up the {one}"
    if number == 3:
        return f"go near the {one}"
    if number == 4:
        return f"put {_name(goal[3:5])} beside {one}"
    if number >= 11:
        return f"go where the {one} is {_SIDES[number - 11]} you"
    return f"put {_name(goal[3:5])} {_SIDES[number - 7]} {one}"


def _rule_in_words(rule: np.ndarray) -> str:
    number, one = int(rule[0]), _name(rule[1:3])
    if number == 1:
        return f"{one}, picked up → {_name(rule[3:5])}"
    if number == 2:
        return f"{one}, gone near → {_name(rule[3:5])}"
    if number >= 8:
        return f"{one}, {_SIDES[number - 8]} the agent → {_name(rule[3:5])}"
    how = "near" if number == 3 else _SIDES[number - 4]
    return f"{_name(rule[3:5])} {how} {one} → {_name(rule[5:7])}"
