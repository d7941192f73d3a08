"""The elementwise operations of a program as expressions of C, and the functions of C that they call.

Exponential, logarithm and hyperbolic tangent are written out and not taken from the system's library. So every machine gives
the same bits, and compilers can work on many numbers at once.
"""

from __future__ import annotations

import numpy as np

from quickstudy.programs.program import Operation, Value
from quickstudy.protocol.errors import NoProgramError

_TEXT = {
    "neg": "-{}",
    "exp": "exponential({})",
    "expm1": "expm1f({})",
    "log": "logarithm({})",
    "log1p": "logarithm_of_one_plus({})",
    "tanh": "hyperbolic_tangent({})",
    "logistic": "logistic({})",
    "sqrt": "sqrtf({})",
    "rsqrt": "1.0f / sqrtf({})",
    "floor": "floorf({})",
    "cos": "cosf({})",
    "sin": "sinf({})",
    "erf": "erff({})",
    "erfc": "erfcf({})",
    "erf_inv": "error_function_inverse({})",
    "is_finite": "isfinite({}) != 0",
    "not": "!{}",
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "pow": "powf({}, {})",
    "rem": "fmodf({}, {})",
    "xor": "{} ^ {}",
    "and": "{} & {}",
    "or": "{} | {}",
    "shift_left": "{} << {}",
    "shift_right": "{} >> {}",
    "eq": "{} == {}",
    "ne": "{} != {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "max": "{0} > {1} ? {0} : {1}",
    "min": "{0} < {1} ? {0} : {1}",
    "select": "{} ? {} : {}",
}
_WHOLE = {"rem": "{} % {}", "abs": "{0} < 0 ? -{0} : {0}"}
_TYPES = {"float32": "float", "bool": "uint8_t", "int32": "int32_t", "uint32": "uint32_t", "uint8": "uint8_t", "int8": "int8_t",
          "int16": "int16_t", "uint16": "uint16_t"}  # fmt: skip

HELPERS = """
/* e to the power x; a polynomial on [-ln 2 / 2, ln 2 / 2] and a power of two (Moshier, Cephes). */
static inline float exponential(float x) {
    union { int32_t bits; float number; } power;
    const float within = x > 88.0f ? 88.0f : (x < -87.0f ? -87.0f : x);
    const float turns = within * 1.44269504088896341f;
    const int32_t whole = (int32_t)(turns + (turns < 0.0f ? -0.5f : 0.5f));
    const float r = (within - (float)whole * 0.693359375f) + (float)whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    power.bits = (whole + 127) * 8388608;
    return p * power.number;
}

/* The natural logarithm of a number above zero (Moshier, Cephes); -infinity at zero. */
static inline float logarithm(float x) {
    union { int32_t bits; float number; } part;
    int32_t exponent;
    float m, z, p;
    if (!(x > 0.0f)) return x == 0.0f ? -INFINITY : NAN;
    if (!(x <= FLT_MAX)) return x;
    part.number = x < FLT_MIN ? x * 8388608.0f : x;
    exponent = ((part.bits >> 23) & 255) - 126 - (x < FLT_MIN ? 23 : 0);
    part.bits = (part.bits & 8388607) | 0x3f000000;
    m = part.number;
    if (m < 0.707106781186547524f) {
        exponent -= 1;
        m += m;
    }
    m -= 1.0f;
    z = m * m;
    p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = m * z * p - 2.12194440e-4f * (float)exponent - 0.5f * z;
    return (m + p) + 0.693359375f * (float)exponent;
}

static inline float logarithm_of_one_plus(float x) {
    const float sum = 1.0f + x;
    return sum == 1.0f || sum > FLT_MAX ? x : logarithm(sum) * (x / (sum - 1.0f));
}

/* A polynomial close to zero, and a quotient of exponentials elsewhere (Moshier, Cephes). */
static inline float hyperbolic_tangent(float x) {
    const float size = x < 0.0f ? -x : x;
    const float z = x * x;
    const float far = 1.0f - 2.0f / (exponential(2.0f * (size > 9.1f ? 9.1f : size)) + 1.0f);
    float near = -5.70498872745e-3f;
    near = near * z + 2.06390887954e-2f;
    near = near * z - 5.37397155531e-2f;
    near = near * z + 1.33314422036e-1f;
    near = near * z - 3.33332819422e-1f;
    near = near * z * x + x;
    return size < 0.625f ? near : (x < 0.0f ? -far : far);
}

static inline float logistic(float x) { return 1.0f / (1.0f + exponential(-x)); }

static inline float error_function_inverse(float x) { /* Giles 2012 */
    float w = -logarithm((1.0f - x) * (1.0f + x));
    float p;
    if (w < 5.0f) {
        w -= 2.5f;
        p = 2.81022636e-08f;
        p = 3.43273939e-07f + p * w;
        p = -3.5233877e-06f + p * w;
        p = -4.39150654e-06f + p * w;
        p = 0.00021858087f + p * w;
        p = -0.00125372503f + p * w;
        p = -0.00417768164f + p * w;
        p = 0.246640727f + p * w;
        p = 1.50140941f + p * w;
    } else {
        w = sqrtf(w) - 3.0f;
        p = -0.000200214257f;
        p = 0.000100950558f + p * w;
        p = 0.00134934322f + p * w;
        p = -0.00367342844f + p * w;
        p = 0.00573950773f + p * w;
        p = -0.0076224613f + p * w;
        p = 0.00943887047f + p * w;
        p = 1.00167406f + p * w;
        p = 2.83297682f + p * w;
    }
    return p * x;
}

static inline float as_float32(uint32_t bits) {
    union { uint32_t bits; float number; } same;
    same.bits = bits;
    return same.number;
}

static inline uint32_t as_uint32(float number) {
    union { uint32_t bits; float number; } same;
    same.number = number;
    return same.bits;
}

/* Two words of 32 random bits for two words that are counted (Salmon et al. 2011, 20 rounds). */
static inline void threefry(const uint32_t *key, uint32_t first, uint32_t second, uint32_t *words) {
    static const int turns[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    uint32_t keys[3];
    int part, round;
    keys[0] = key[0];
    keys[1] = key[1];
    keys[2] = key[0] ^ key[1] ^ 0x1BD11BDAu;
    words[0] = first + keys[0];
    words[1] = second + keys[1];
    for (part = 0; part < 5; part++) {
        for (round = 0; round < 4; round++) {
            const int turn = turns[(part % 2) * 4 + round];
            words[0] += words[1];
            words[1] = words[0] ^ (words[1] << turn | words[1] >> (32 - turn));
        }
        words[0] += keys[(part + 1) % 3];
        words[1] += keys[(part + 2) % 3] + (uint32_t)part + 1u;
    }
}
"""
"""What the generated file calls. Functions that it does not call cost nothing."""


def c_type(value: Value) -> str:
    """The type of one number of a value.

    Raises:
      NoProgramError: a type that the C form does not have, such as float16.
    """
    if value.dtype.name not in _TYPES:
        raise NoProgramError(
            f"the agent computes with {value.dtype.name}, and the C form has {', '.join(_TYPES)}. Use one of these in the "
            "agent, or export to another target.",
            part=f"numbers of the type {value.dtype.name}",
        )
    return _TYPES[value.dtype.name]


def c_expression(op: Operation, operands: list[str]) -> str:
    """One number of an elementwise operation's output, from expressions for the numbers of its inputs."""
    whole = np.issubdtype(op.output.dtype, np.integer)
    if op.kind == "cast":
        if op.output.dtype == np.bool_:
            return f"({operands[0]} != 0)"
        return f"(({c_type(op.output)}){operands[0]})"
    if op.kind == "bits":
        return f"as_{op.output.dtype.name}({operands[0]})"
    if op.kind == "abs":
        return f"({_WHOLE['abs'].format(*operands)})" if whole else f"fabsf({operands[0]})"
    if op.kind == "sign":
        return f"(({c_type(op.output)})(({operands[0]} > 0) - ({operands[0]} < 0)))"
    if whole and op.kind in _WHOLE:
        return f"({_WHOLE[op.kind].format(*operands)})"
    if op.kind == "not" and op.output.dtype != np.bool_:
        return f"(~{operands[0]})"
    return f"({_TEXT[op.kind].format(*operands)})"


def c_literal(array: np.ndarray) -> str:
    """One number as C writes it."""
    number = array.item()
    if array.dtype == np.bool_:
        return str(int(number))
    if np.issubdtype(array.dtype, np.integer):
        return f"{number}u" if array.dtype == np.uint32 else (str(number) if number >= 0 else f"({number})")
    if not np.isfinite(number):
        return "NAN" if np.isnan(number) else ("INFINITY" if number > 0 else "(-INFINITY)")
    text = f"{np.float32(number):.9g}"
    text = text if any(mark in text for mark in ".en") else text + ".0"
    return f"{text}f" if number >= 0 else f"({text}f)"
