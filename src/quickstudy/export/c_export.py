"""The C form of an agent: `agent.c` with its header and weights, and `replay.c`, which tests it on recorded steps."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.export.c_form import c_body
from quickstudy.export.c_operations import HELPERS, c_literal, c_type
from quickstudy.export.c_replay import field, replay_source
from quickstudy.export.contract import in_a_comment, sizes_of, whole_range
from quickstudy.export.weights import constant_names
from quickstudy.programs.program import Constant, Program, Value
from quickstudy.rollout.step_programs import StepPrograms

_NUMBERS_A_LINE = 8


def c_files(
    programs: StepPrograms, initial: Mapping[str, np.ndarray], contract: Mapping[str, Any], *, title: str
) -> dict[str, bytes]:
    """The files `agent.h`, `agent.c` and `agent_weights.h`.

    Args:
      programs: of the agent.
      initial: memory at the start of a lifetime, by name, without axes of length one.
      contract: of the exported agent.
      title: what the agent is, for the heads of the files.
    """
    names = {constant: name for constant, name in constant_names(programs).items() if constant.shape}
    starts = {name: f"initial_{field(name)}" for name, array in initial.items() if array.any()}
    weights = [_array(name, constant, constant.array) for name, constant in {n: c for c, n in names.items()}.items()]
    weights += [_array(starts[name], programs.take_in.inputs[name], np.atleast_1d(initial[name])) for name in starts]
    digest = contract["bundle"]["parameters_sha256"]
    head = f"/* {in_a_comment(title)}, exported by quickstudy.\n   Bundle: {in_a_comment(digest)} */\n"
    return {
        "agent.h": _header(programs, contract, head).encode(),
        "agent.c": _source(programs, names, starts, contract, head).encode(),
        "agent_weights.h": (head + "\n" + "\n".join(weights)).encode(),
        "replay.c": replay_source(programs, sizes_of(contract), head).encode(),
    }


def _array(name: str, value: Value, array: np.ndarray) -> str:
    numbers = [c_literal(number) for number in array.ravel()]
    lines = [", ".join(numbers[start : start + _NUMBERS_A_LINE]) for start in range(0, len(numbers), _NUMBERS_A_LINE)]
    shape = f" /* {list(array.shape)} */" if array.ndim > 1 else ""
    return f"static const {c_type(value)} {name}[{array.size}] = {{{shape}\n" + ",\n".join(lines) + "\n};\n"


def _declared(value: Value, name: str) -> str:
    return f"{c_type(value)} {name}" + (f"[{value.size}]" if value.shape else "")


def _header(programs: StepPrograms, contract: Mapping[str, Any], head: str) -> str:
    inputs, memory = programs.take_in.inputs, programs.memory
    observation, action = inputs["observation"], inputs["action"]
    state = [f"    {_declared(inputs[name], field(name))};" for name in memory]
    decided = [f"    {_declared(value, field(name))};" for name, value in programs.decide.outputs.items()]
    taken = [f"    const {c_type(action)} *action;", "    size_t action_length;"]
    drawn = "".join(f"\n   After agent_begin, set {field(name)} to random words." for name in sorted(programs.drawn_at_start))
    return f"""{head}
#ifndef AGENT_H
#define AGENT_H

#include <stddef.h>
#include <stdint.h>

#define AGENT_OBSERVATION_LENGTH {max(1, observation.size)}
#define AGENT_ACTION_LENGTH {max(1, action.size)}
#define AGENT_HORIZON {contract["horizon"]}
#define AGENT_LIFETIME_STEPS {contract["lifetime_steps"]}

typedef {c_type(observation)} agent_observation;
typedef {c_type(action)} agent_action;

/* Everything that one lifetime on one task writes. */
typedef struct {{
{chr(10).join(state)}
    agent_observation observation[AGENT_OBSERVATION_LENGTH]; /* the last one that was decided on */
    int32_t slot;                                            /* number of the next step */
    int32_t decided;                                         /* whether there was a decision */
}} agent_state;

/* What followed the last decision. A reward that is not known is NAN. successor is the true last observation of an episode. */
typedef struct {{
{chr(10).join(taken)}
    float reward;
    const agent_observation *successor;
    size_t successor_length;
    uint8_t terminated;
    uint8_t truncated;
}} agent_feedback;

/* {contract["policy"]["kind"]}: {contract["policy"]["says"]} */
typedef struct {{
{chr(10).join(decided)}
}} agent_decision;

enum agent_status {{
    AGENT_DONE = 0,
    AGENT_WRONG_LENGTH = 1,    /* an observation or an action of another length */
    AGENT_OUT_OF_RANGE = 2,    /* a whole number that the space does not hold, or an action that is not finite */
    AGENT_NOTHING_DECIDED = 3  /* feedback, before the first decision */
}};

/* The start of a lifetime.{drawn} */
void agent_begin(agent_state *state);

/* Takes in what followed the last decision, and decides on an observation. feedback is NULL at the first step of a lifetime.
   Returns AGENT_DONE; anything else has changed nothing. One thread may call it at a time. */
int agent_step(agent_state *state, const agent_feedback *feedback, const agent_observation *observation, size_t length,
               agent_decision *decision);

#endif
"""


def _source(
    programs: StepPrograms, names: Mapping[Constant, str], starts: Mapping[str, str], contract: Mapping[str, Any], head: str
) -> str:
    inputs = programs.take_in.inputs
    given = {inputs[name]: f"state->{field(name)}" for name in programs.memory}
    given |= {inputs["observation"]: _input("state->observation", inputs["observation"])}
    given |= {inputs["action"]: _input("feedback->action", inputs["action"])}
    given |= {inputs["successor"]: _input("feedback->successor", inputs["successor"]), inputs["reward"]: "feedback->reward"}
    given |= {inputs[name]: name for name in ("terminated", "truncated", "episode")}
    into = {name: f"state->{field(name)}" for name in programs.memory}
    take_in = _function(programs.take_in, given | dict(names), into)
    inputs = programs.decide.inputs
    given = {inputs[name]: f"state->{field(name)}" for name in programs.memory}
    given |= {inputs["observation"]: _input("state->observation", inputs["observation"])}
    into = {name: f"decision->{field(name)}" for name in programs.decide.outputs}
    decide = _function(programs.decide, given | dict(names), into)
    begin = [_copy(f"state->{field(name)}", starts[name]) for name in starts]
    checks = _checks(programs, contract)
    return f"""{head}
/* C99. No allocation and no recursion; every loop has a fixed length. Build it with -O3: loops over units are then vectorised.
   Without -std=c99, add -ffp-contract=off to get the same bits on every machine. */

#include "agent.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "agent_weights.h"
{HELPERS}
static void take_in(agent_state *state, const agent_feedback *feedback, uint8_t terminated, uint8_t truncated,
                    int32_t episode) {{
{take_in}
}}

static void decide(const agent_state *state, agent_decision *decision) {{
{decide}
}}

void agent_begin(agent_state *state) {{
    memset(state, 0, sizeof *state);
{"".join(f"    {line}" + chr(10) for line in begin)}}}

{checks["tables"]}static int check_observation(const agent_observation *observation, size_t length) {{
    if (observation == NULL || length != AGENT_OBSERVATION_LENGTH) return AGENT_WRONG_LENGTH;
{checks["observation"]}    return AGENT_DONE;
}}

static int check_feedback(const agent_state *state, const agent_feedback *feedback) {{
    if (!state->decided) return AGENT_NOTHING_DECIDED;
    if (feedback->action == NULL || feedback->action_length != AGENT_ACTION_LENGTH) return AGENT_WRONG_LENGTH;
{checks["action"]}    return check_observation(feedback->successor, feedback->successor_length);
}}

int agent_step(agent_state *state, const agent_feedback *feedback, const agent_observation *observation, size_t length,
               agent_decision *decision) {{
    int status = check_observation(observation, length);
    if (status == AGENT_DONE && feedback != NULL) status = check_feedback(state, feedback);
    if (status != AGENT_DONE) return status;
    if (feedback != NULL) {{
        const int32_t episode = state->slot / AGENT_HORIZON;
        const uint8_t terminated = feedback->terminated != 0;
        const uint8_t last = state->slot % AGENT_HORIZON == AGENT_HORIZON - 1;
        const uint8_t truncated = !terminated && (feedback->truncated || last);
        take_in(state, feedback, terminated, truncated, episode);
        state->slot = terminated || truncated ? (episode + 1) * AGENT_HORIZON : state->slot + 1;
    }}
    memcpy(state->observation, observation, sizeof state->observation);
    state->decided = 1;
    decide(state, decision);
    return AGENT_DONE;
}}
"""


def _input(pointer: str, value: Value) -> str:
    return pointer if value.shape else f"{pointer}[0]"


def _copy(target: str, source: str) -> str:
    return f"memcpy(&{target}, {source}, sizeof {target});"


def _function(program: Program, names: Mapping[Value, str], into: Mapping[str, str]) -> str:
    lines, arrays = c_body(program, names, into)
    used = "\n".join(lines)
    given = [*names.values(), *into.values()]
    flags = [name for name in ("terminated", "truncated", "episode") if name in given]
    unused = [f"(void){name};" for name in flags if not re.search(rf"\b{name}\b", used)]
    read = [name for name in ("feedback", "state") if any(text.startswith(f"{name}->") for text in given)]
    unused += [f"(void){name};" for name in read if f"{name}->" not in used]
    return "\n".join(f"    {line}" for line in [*arrays, *unused, *lines])


def _checks(programs: StepPrograms, contract: Mapping[str, Any]) -> dict[str, str]:
    """Tests of whole numbers against their range, and of actions for numbers that are not finite; `tables` are their bounds."""
    found = {"tables": ""}
    for name, element in (("observation", contract["observation"]), ("action", contract["feedback"]["action"])):
        given = "observation" if name == "observation" else "feedback->action"
        if element["kind"] == "Discrete":
            low, high = element["start"], element["start"] + element["n"] - 1
            found[name] = f"    if ({given}[0] < {low} || {given}[0] > {high}) return AGENT_OUT_OF_RANGE;\n"
            continue
        bounds = whole_range(element)
        tests: list[str] = []
        if bounds is not None:
            tables, tests = _bounds(name, given, programs.take_in.inputs[name], *bounds)
            found["tables"] += tables
        elif name == "action":
            tests = [f"!isfinite({given}[i])"]
        loop = f"    for (int32_t i = 0; i < AGENT_{name.upper()}_LENGTH; i++)\n"
        found[name] = f"{loop}        if ({' || '.join(tests)}) return AGENT_OUT_OF_RANGE;\n" if tests else ""
    return found


def _bounds(name: str, given: str, value: Value, least: np.ndarray, most: np.ndarray) -> tuple[str, list[str]]:
    """Tables of bounds that differ from number to number, and tests; none for bounds that the type has anyway."""
    kind, tables, tests = np.iinfo(value.dtype), "", []
    for side, sign, bound, extreme in (("least", "<", least, kind.min), ("most", ">", most, kind.max)):
        if (bound == extreme).all():
            continue
        same = bool((bound == bound.flat[0]).all())
        if not same:
            tables += _array(f"{name}_{side}", value, bound.astype(value.dtype))
        tests.append(f"{given}[i] {sign} {int(bound.flat[0]) if same else f'{name}_{side}[i]'}")
    return tables, tests
