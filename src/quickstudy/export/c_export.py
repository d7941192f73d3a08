"""The C form of an agent: `agent.c` with its header and weights, and `replay.c`, which tests it on recorded steps."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.export.c_form import CWriter
from quickstudy.export.c_operations import HELPERS, c_literal, c_type
from quickstudy.export.vectors import LIVED, Vectors
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
    constants = dict.fromkeys((*programs.take_in.constants, *programs.decide.constants))
    names = {constant: f"w{number}" for number, constant in enumerate(constants) if constant.shape}
    starts = {name: f"initial_{_field(name)}" for name, array in initial.items() if array.any()}
    weights = [_array(name, constant, constant.array) for constant, name in names.items()]
    weights += [_array(starts[name], programs.take_in.inputs[name], np.atleast_1d(initial[name])) for name in starts]
    head = f"/* {title}, exported by quickstudy.\n   Bundle: {contract['bundle']['parameters_sha256']} */\n"
    return {
        "agent.h": _header(programs, contract, head).encode(),
        "agent.c": _source(programs, names, starts, contract, head).encode(),
        "agent_weights.h": (head + "\n" + "\n".join(weights)).encode(),
        "replay.c": _replay(programs, contract, head).encode(),
    }


def packed_vectors(vectors: Vectors, programs: StepPrograms) -> bytes:
    """Recorded steps as `replay.c` reads them: the number of steps, then the fields of each step, in little-endian order.

    Args:
      vectors: recorded steps.
      programs: of the agent, which say the types.
    """
    inputs = programs.take_in.inputs
    columns = [vectors.begins.astype(np.int32)]
    columns += [vectors.memory_at_start[name] for name in sorted(programs.drawn_at_start)]
    columns += [vectors.lived[name].astype(inputs[name].dtype) for name in LIVED]
    columns += [vectors.observation.astype(inputs["observation"].dtype)]
    columns += [vectors.decision[name] for name in programs.decision]
    fields = [(f"f{n}", column.dtype.newbyteorder("<"), column.shape[1:]) for n, column in enumerate(columns)]
    rows = np.zeros(len(vectors), np.dtype(fields))
    for (name, _, _), column in zip(fields, columns, strict=True):
        rows[name] = column
    return np.asarray([len(vectors)], "<i4").tobytes() + rows.tobytes()


def _field(name: str) -> str:
    """A dotted name as a name of C; `memory.memory.table` of a guarded agent is `memory_table`."""
    return re.sub(r"[^A-Za-z0-9]", "_", re.sub(r"^memory\.memory", "memory", name))


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
    state = [f"    {_declared(inputs[name], _field(name))};" for name in memory]
    decided = [f"    {_declared(value, _field(name))};" for name, value in programs.decide.outputs.items()]
    taken = [f"    const {c_type(action)} *action;", "    size_t action_length;"]
    drawn = "".join(f"\n   After agent_begin, set {_field(name)} to random words." for name in sorted(programs.drawn_at_start))
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
}} agent_lived;

/* {contract["policy"]["kind"]}: {contract["policy"]["says"]} */
typedef struct {{
{chr(10).join(decided)}
}} agent_decision;

enum agent_status {{
    AGENT_DONE = 0,
    AGENT_WRONG_LENGTH = 1,    /* an observation or an action of another length */
    AGENT_OUT_OF_RANGE = 2,    /* a whole number that the space does not hold, or an action that is not finite */
    AGENT_NOTHING_DECIDED = 3  /* lived, before the first decision */
}};

/* The start of a lifetime.{drawn} */
void agent_begin(agent_state *state);

/* Takes in what followed the last decision, and decides on an observation. lived is NULL at the first step of a lifetime.
   Returns AGENT_DONE; anything else has changed nothing. One thread may call it at a time. */
int agent_step(agent_state *state, const agent_lived *lived, const agent_observation *observation, size_t length,
               agent_decision *decision);

#endif
"""


def _source(
    programs: StepPrograms, names: Mapping[Constant, str], starts: Mapping[str, str], contract: Mapping[str, Any], head: str
) -> str:
    inputs = programs.take_in.inputs
    given = {inputs[name]: f"state->{_field(name)}" for name in programs.memory}
    given |= {inputs["observation"]: _input("state->observation", inputs["observation"])}
    given |= {inputs["action"]: _input("lived->action", inputs["action"])}
    given |= {inputs["successor"]: _input("lived->successor", inputs["successor"]), inputs["reward"]: "lived->reward"}
    given |= {inputs[name]: name for name in ("terminated", "truncated", "episode")}
    into = {name: f"state->{_field(name)}" for name in programs.memory}
    take_in = _function(programs.take_in, given | dict(names), into)
    inputs = programs.decide.inputs
    given = {inputs[name]: f"state->{_field(name)}" for name in programs.memory}
    given |= {inputs["observation"]: _input("state->observation", inputs["observation"])}
    into = {name: f"decision->{_field(name)}" for name in programs.decide.outputs}
    decide = _function(programs.decide, given | dict(names), into)
    begin = [_copy(f"state->{_field(name)}", starts[name]) for name in starts]
    checks = _checks(contract)
    return f"""{head}
/* C99. No allocation and no recursion; every loop has a fixed length. Build it with -O3: loops over units are then vectorised.
   Without -std=c99, add -ffp-contract=off to get the same bits on every machine. */

#include "agent.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "agent_weights.h"
{HELPERS}
static void take_in(agent_state *state, const agent_lived *lived, uint8_t terminated, uint8_t truncated, int32_t episode) {{
{take_in}
}}

static void decide(const agent_state *state, agent_decision *decision) {{
{decide}
}}

void agent_begin(agent_state *state) {{
    memset(state, 0, sizeof *state);
{"".join(f"    {line}" + chr(10) for line in begin)}}}

static int check_observation(const agent_observation *observation, size_t length) {{
    if (observation == NULL || length != AGENT_OBSERVATION_LENGTH) return AGENT_WRONG_LENGTH;
{checks["observation"]}    return AGENT_DONE;
}}

static int check_lived(const agent_state *state, const agent_lived *lived) {{
    if (!state->decided) return AGENT_NOTHING_DECIDED;
    if (lived->action == NULL || lived->action_length != AGENT_ACTION_LENGTH) return AGENT_WRONG_LENGTH;
{checks["action"]}    return check_observation(lived->successor, lived->successor_length);
}}

int agent_step(agent_state *state, const agent_lived *lived, const agent_observation *observation, size_t length,
               agent_decision *decision) {{
    int status = check_observation(observation, length);
    if (status == AGENT_DONE && lived != NULL) status = check_lived(state, lived);
    if (status != AGENT_DONE) return status;
    if (lived != NULL) {{
        const int32_t episode = state->slot / AGENT_HORIZON;
        const uint8_t terminated = lived->terminated != 0;
        const uint8_t last = state->slot % AGENT_HORIZON == AGENT_HORIZON - 1;
        const uint8_t truncated = !terminated && (lived->truncated || last);
        take_in(state, lived, terminated, truncated, episode);
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
    lines, arrays = CWriter(program, names).body(into)
    used = "\n".join(lines)
    given = [*names.values(), *into.values()]
    unused = [f"(void){name};" for name in ("terminated", "truncated", "episode") if name in given and name not in used]
    for name in ("lived", "state"):
        if f"{name}->" not in used and any(text.startswith(f"{name}->") for text in given):
            unused.append(f"(void){name};")
    return "\n".join(f"    {line}" for line in [*arrays, *unused, *lines])


def _checks(contract: Mapping[str, Any]) -> dict[str, str]:
    """Tests of whole numbers against their range, and of actions for numbers that are not finite."""
    found = {}
    for name, element in (("observation", contract["observation"]), ("action", contract["lived"]["action"])):
        given = "observation" if name == "observation" else "lived->action"
        if element["kind"] == "Discrete":
            low, high = element["start"], element["start"] + element["n"] - 1
            text = f"if ({given}[0] < {low} || {given}[0] > {high}) return AGENT_OUT_OF_RANGE;"
        elif name == "action":
            text = f"for (int32_t i = 0; i < AGENT_ACTION_LENGTH; i++)\n        if (!isfinite({given}[i])) return AGENT_OUT_OF_RANGE;"
        else:
            text = ""
        found[name] = f"    {text}\n" if text else ""
    return found


def _replay(programs: StepPrograms, contract: Mapping[str, Any], head: str) -> str:
    drawn = sorted(programs.drawn_at_start)
    inputs, outputs = programs.take_in.inputs, programs.decide.outputs
    row: Sequence[tuple[str, Value]] = [
        *((f"start_{_field(name)}", inputs[name]) for name in drawn),
        *((name, inputs[name]) for name in LIVED),
        ("observation", inputs["observation"]),
        *((f"decided_{_field(name)}", value) for name, value in outputs.items()),
    ]
    declared = "\n".join(f"    static {c_type(value)} {name}[{max(1, value.size)}];" for name, value in row)
    read = "\n".join(f"        if (fread({name}, sizeof {name}, 1, file) != 1) return 2;" for name, _ in row)
    begun = "".join(f" memcpy(&state.{_field(name)}, start_{_field(name)}, sizeof state.{_field(name)});" for name in drawn)
    compare = "\n".join(
        f"        apart[{n}] = farthest(apart[{n}], {_pointer(value, f'decision.{_field(name)}')}, decided_{_field(name)}, "
        f"{max(1, value.size)});\n"
        f"        check = digest(check, &decision.{_field(name)}, sizeof decision.{_field(name)});"
        for n, (name, value) in enumerate(outputs.items())
        if value.dtype == np.float32
    )
    printed = "\n".join(
        f'    printf("{name}: largest deviation %.3g\\n", (double)apart[{n}]);'
        for n, (name, value) in enumerate(outputs.items())
        if value.dtype == np.float32
    )
    worst = " || ".join(f"!(apart[{n}] <= 1e-4f)" for n, value in enumerate(outputs.values()) if value.dtype == np.float32)
    return f"""{head}
/* Replays recorded steps, and prints the largest deviations and a check value of all bits that were decided.
   replay vectors.bin [TIMES]: with TIMES, every step is timed so many times over. */

#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"

static float farthest(float so_far, const float *came, const float *expected, int count) {{
    for (int i = 0; i < count; i++) {{
        const float apart = fabsf(came[i] - expected[i]);
        if (!(apart <= so_far)) so_far = apart;
    }}
    return so_far;
}}

static uint64_t digest(uint64_t check, const void *bytes, size_t count) {{ /* FNV-1a */
    for (size_t i = 0; i < count; i++) check = (check ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return check;
}}

static double microseconds(void) {{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}}

static int smaller(const void *a, const void *b) {{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}}

static void print_times(const char *name, double *times, long count) {{
    qsort(times, (size_t)count, sizeof *times, smaller);
    printf("%s: median %.2f us, p99 %.2f us\\n", name, times[count / 2], times[count - 1 - count / 100]);
}}

int main(int argc, char **argv) {{
    int32_t begins, rows, row;
{declared}
    float apart[{max(1, len(outputs))}] = {{0.0f}};
    uint64_t check = 14695981039346656037u;
    agent_state state;
    agent_decision decision;
    agent_lived lived;
    const long times = argc > 2 ? atol(argv[2]) : 0;
    double *taken = NULL, *empty = NULL;
    long timed = 0;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || fread(&rows, sizeof rows, 1, file) != 1) {{
        fprintf(stderr, "usage: replay vectors.bin [TIMES]\\n");
        return 2;
    }}
    if (times > 0) {{
        taken = malloc((size_t)(rows * times) * sizeof *taken);
        empty = malloc((size_t)(rows * times) * sizeof *empty);
        if (taken == NULL || empty == NULL) return 2;
    }}
    memset(&decision, 0, sizeof decision);
    agent_begin(&state);
    for (row = 0; row < rows; row++) {{
        if (fread(&begins, sizeof begins, 1, file) != 1) return 2;
{read}
        if (begins) {{
            agent_begin(&state);{begun}
        }}
        lived.action = action;
        lived.action_length = AGENT_ACTION_LENGTH;
        lived.reward = reward[0];
        lived.successor = successor;
        lived.successor_length = AGENT_OBSERVATION_LENGTH;
        lived.terminated = terminated[0];
        lived.truncated = truncated[0];
        for (long again = 0; again < times; again++, timed++) {{
            agent_state copy = state;
            double began = microseconds();
            (void)agent_step(&copy, begins ? NULL : &lived, observation, AGENT_OBSERVATION_LENGTH, &decision);
            taken[timed] = microseconds() - began;
            began = microseconds();
            empty[timed] = microseconds() - began;
        }}
        if (agent_step(&state, begins ? NULL : &lived, observation, AGENT_OBSERVATION_LENGTH, &decision) != AGENT_DONE) {{
            fprintf(stderr, "step %d was refused\\n", (int)row);
            return 1;
        }}
{compare}
    }}
    fclose(file);
{printed}
    printf("check value: %08lx%08lx\\n", (unsigned long)(check >> 32), (unsigned long)(check & 0xffffffffu));
    if (times > 0) {{
        print_times("empty call", empty, timed);
        print_times("step", taken, timed);
    }}
    free(taken);
    free(empty);
    return {worst} ? 1 : 0;
}}
"""


def _pointer(value: Value, name: str) -> str:
    return name if value.shape else f"&{name}"
