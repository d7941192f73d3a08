"""The program in C that tests an exported agent on recorded steps, and the file that it reads."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from quickstudy.export.c_operations import c_literal, c_type
from quickstudy.export.vectors import FEEDBACK, Vectors
from quickstudy.programs.program import Value
from quickstudy.rollout.step_programs import StepPrograms


def packed_vectors(vectors: Vectors, programs: StepPrograms) -> bytes:
    """Recorded steps as `replay.c` reads them: the number of steps, then the fields of each step, in little-endian order.

    Args:
      vectors: recorded steps.
      programs: of the agent, which say the types.
    """
    inputs = programs.take_in.inputs
    columns = [vectors.begins.astype(np.int32)]
    columns += [vectors.memory_at_start[name] for name in sorted(programs.drawn_at_start)]
    columns += [vectors.feedback[name].astype(inputs[name].dtype) for name in FEEDBACK]
    columns += [vectors.observation.astype(inputs["observation"].dtype)]
    columns += [vectors.decision[name] for name in programs.decision]
    fields = [(f"f{n}", column.dtype.newbyteorder("<"), column.shape[1:]) for n, column in enumerate(columns)]
    rows = np.zeros(len(vectors), np.dtype(fields))
    for (name, _, _), column in zip(fields, columns, strict=True):
        rows[name] = column
    return np.asarray([len(vectors)], "<i4").tobytes() + rows.tobytes()


def field(name: str) -> str:
    """A dotted name as a name of C; `memory.memory.table` of a guarded agent is `memory_table`."""
    return re.sub(r"[^A-Za-z0-9]", "_", re.sub(r"^memory\.memory", "memory", name))


def replay_source(programs: StepPrograms, sizes: Mapping[str, np.ndarray], head: str) -> str:
    """The source of `replay.c`.

    Args:
      programs: of the agent.
      sizes: by name of a number that is decided, in which deviations are measured; 1 where there is none.
      head: the comment at the top of the file.
    """
    drawn = sorted(programs.drawn_at_start)
    inputs, outputs = programs.take_in.inputs, programs.decide.outputs
    row: Sequence[tuple[str, Value]] = [
        *((f"start_{field(name)}", inputs[name]) for name in drawn),
        *((name, inputs[name]) for name in FEEDBACK),
        ("observation", inputs["observation"]),
        *((f"decided_{field(name)}", value) for name, value in outputs.items()),
    ]
    declared = "\n".join(f"    static {c_type(value)} {name}[{max(1, value.size)}];" for name, value in row)
    read = "\n".join(f"        if (fread({name}, sizeof {name}, 1, file) != 1) return 2;" for name, _ in row)
    begun = "".join(f" memcpy(&state.{field(name)}, start_{field(name)}, sizeof state.{field(name)});" for name in drawn)
    compare = "\n".join(
        f"        farther(apart + {n}, absolute + {n}, {_pointer(value, f'decision.{field(name)}')}, decided_{field(name)}, "
        f"{f'size_{field(name)}' if name in sizes else 'NULL'}, {max(1, value.size)});\n"
        f"        check = digest(check, &decision.{field(name)}, sizeof decision.{field(name)});"
        for n, (name, value) in enumerate(outputs.items())
        if value.dtype == np.float32
    )
    printed = "\n".join(
        f'    printf("{name}: largest deviation %.3g, absolute %.3g\\n", (double)apart[{n}], (double)absolute[{n}]);'
        for n, (name, value) in enumerate(outputs.items())
        if value.dtype == np.float32
    )
    measured = "".join(
        f"static const float size_{field(name)}[{size.size}] = {{{', '.join(map(c_literal, size.ravel()))}}};\n"
        for name, size in sizes.items()
    )
    worst = " || ".join(f"!(apart[{n}] <= 1e-4f)" for n, value in enumerate(outputs.values()) if value.dtype == np.float32)
    return f"""{head}
/* Replays recorded steps, and prints the largest deviations and a check value of all bits that were decided. A deviation is
   divided by the size of the number, or by half the range of an action, or by one, whichever is largest of those that apply.
   replay vectors.bin [TIMES]: with TIMES, every step is timed so many times over. */

#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"

{measured}
static void farther(float *apart, float *absolute, const float *came, const float *expected, const float *sizes, int count) {{
    for (int i = 0; i < count; i++) {{
        const float size = fabsf(expected[i]), least = sizes == NULL ? 1.0f : sizes[i];
        const float found = came[i] == expected[i] ? 0.0f : fabsf(came[i] - expected[i]);
        const float difference = found == found ? found : INFINITY; /* one of them is no number */
        const float in_proportion = difference / (size > least && isfinite(size) ? size : least);
        if (in_proportion > *apart) *apart = in_proportion;
        if (difference > *absolute) *absolute = difference;
    }}
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
    float apart[{max(1, len(outputs))}] = {{0.0f}}, absolute[{max(1, len(outputs))}] = {{0.0f}};
    uint64_t check = 14695981039346656037u;
    agent_state state;
    agent_decision decision;
    agent_feedback feedback;
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
        feedback.action = action;
        feedback.action_length = AGENT_ACTION_LENGTH;
        feedback.reward = reward[0];
        feedback.successor = successor;
        feedback.successor_length = AGENT_OBSERVATION_LENGTH;
        feedback.terminated = terminated[0];
        feedback.truncated = truncated[0];
        for (long again = 0; again < times; again++, timed++) {{
            agent_state copy = state;
            double began = microseconds();
            (void)agent_step(&copy, begins ? NULL : &feedback, observation, AGENT_OBSERVATION_LENGTH, &decision);
            taken[timed] = microseconds() - began;
            began = microseconds();
            empty[timed] = microseconds() - began;
        }}
        if (agent_step(&state, begins ? NULL : &feedback, observation, AGENT_OBSERVATION_LENGTH, &decision) != AGENT_DONE) {{
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
