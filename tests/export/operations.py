"""Functions for tests of graphs: curves of single numbers, and whole numbers that wrap around."""

import jax
import jax.numpy as jnp
import numpy as np

from programs.functions import FUNCTIONS


def curves(x, y):
    positive = jnp.abs(x) + jnp.float32(0.1)
    return {
        "curves": jnp.exp(-positive) + jnp.log(positive) + jnp.log1p(positive) + jnp.tanh(x) + jax.nn.sigmoid(y),
        "small": jnp.expm1(x * 1e-4) * 1e4 + jnp.log1p(positive * 1e-6) * 1e6,
        "large": jnp.expm1(x * 5),
        "roots": jnp.sqrt(positive) + jax.lax.rsqrt(positive),
        "turns": jnp.sin(x) + jnp.cos(y) + jnp.floor(x) + jnp.sign(y),
        "errors": jax.lax.erf(x),
        "powers": x**3 + positive**-2 + jnp.power(positive, jnp.float32(1.7)) + jax.lax.rem(x, jnp.float32(0.3)),
        "chosen": jnp.where((x > y) & ~(x < 0), x, jnp.minimum(y, jnp.maximum(x, jnp.float32(0.3)))),
        "truths": jnp.where(x > y, y > 0, x <= 0) ^ (x != y),
        "finite": jnp.isfinite(jnp.log(x)),
    }


def words(first, second, truth):
    return {
        "wraps": first + second * first,
        "bits": (first & second) | (first ^ second),
        "bytes": first.astype(jnp.uint8) + jnp.uint8(200),
        "larger": first > second,
        "chosen": jnp.where(truth, first, second),
        "signed": jnp.maximum(first.astype(jnp.int16), jnp.int16(3)),
        "total": second.sum(),
    }


PAIR = [np.asarray(numbers, np.uint32) for numbers in ([7, 2**32 - 5, 3], [9, 11, 2**31])]
CURVES = (curves, FUNCTIONS["elementwise"][1])
WORDS = (words, {"first": PAIR[0], "second": PAIR[1], "truth": np.asarray([True, False, True])})
