"""Small functions of JAX, and inputs for them: every kind of operation that programs know, and what tracing must undo."""

import jax
import jax.numpy as jnp
import numpy as np

GENERATOR = np.random.default_rng(0)


def numbers(*shape):
    """Numbers of a normal distribution."""
    return GENERATOR.standard_normal(shape).astype(np.float32)


WEIGHT, TABLE = jnp.asarray(numbers(6, 9)), jnp.asarray(numbers(4, 3))


def elementwise(x, y):
    positive = jnp.abs(x) + jnp.float32(0.1)
    return {
        "sums": x + y * x - y / positive,
        "curves": jnp.exp(-positive) + jnp.log(positive) + jnp.log1p(positive) + jnp.tanh(x) + jax.nn.sigmoid(y),
        "roots": jnp.sqrt(positive) + jax.lax.rsqrt(positive) + jnp.expm1(-positive),
        "turns": jnp.sin(x) + jnp.cos(y) + jnp.floor(x) + jnp.sign(y),
        "errors": jax.lax.erf(x) + jax.lax.erfc(y) + jax.lax.erf_inv(jnp.tanh(x)),
        "powers": x**3 + positive**-2 + jnp.power(positive, jnp.float32(1.7)),
        "chosen": jnp.where((x > y) & ~(x < 0), x, jnp.minimum(y, jnp.maximum(x, jnp.float32(0.3)))),
        "cut": jnp.clip(x, -0.5, 0.5) + jax.nn.softplus(y) + jax.nn.relu(x),
    }


def gates(x, h):
    gate, candidate = jnp.split(x @ WEIGHT, (6,))
    other = jnp.split(h @ WEIGHT, (6,))
    reset, update = jnp.split(jax.nn.sigmoid(gate + other[0]), 2)
    return {"new": candidate + reset * (other[1] - update), "one": jax.nn.log_softmax(jnp.concatenate([reset, update]))}


def shapes(x):
    rows = x.reshape(2, 3, 2)
    return {
        "turned": jnp.transpose(rows, (2, 0, 1))[:, None],
        "sums": rows.sum((0, 2)),
        "largest": rows.max(1),
        "least": x.min(),
        "place": jnp.argmax(rows, axis=2),
        "part": rows[1:, ::2, 1],
        "widened": jnp.pad(rows[:1, 0], ((1, 2), (0, 1)), constant_values=0.5),
        "padded": jnp.pad(rows[0], ((1, 2), (0, 1)), constant_values=0.5),
        "cut": jax.lax.pad(rows[0], jnp.float32(0.5), ((-1, 1, 0), (2, -1, 0))),
        "cut_to_one": jax.lax.pad(rows[0], jnp.float32(0.5), ((-2, 0, 0), (-1, 1, 0))),
        "slope_of_stack": jax.grad(lambda v: (jnp.stack([v, 2 * v, v**2])[1:] ** 2).sum())(x),
        "slope_of_padding": jax.grad(lambda v: (jnp.pad(v, ((1, 0), (0, 2))) ** 2).sum())(rows[0]),
        "beside": jnp.concatenate([rows[0], rows[1, :1], jnp.ones((2, 2))]),
        "running": jnp.cumsum(rows, axis=1) + jax.lax.cummax(rows, axis=2),
        "backwards": rows[:, ::-1],
        "spread": x[:, None] * jnp.arange(3.0)[None],
        "all": (x > -3).all() & (rows > 0).any(1).any(),
        "stacked": jnp.stack([x, 2 * x], axis=1),
    }


def products(x, y):
    first, second = x.reshape(3, 4), y.reshape(4, 3)
    return {
        "vector": first[0] @ second,
        "matrix": first @ second,
        "dot": x @ y,
        "turned": second.T @ first.T,
        "outer": jnp.outer(first[0], second[0]),
        "batch": jnp.einsum("hav,ha->hv", x.reshape(2, 3, 2), y.reshape(2, 6)[:, :3]),
        "batches": jnp.einsum("bij,bjk->bik", x.reshape(2, 3, 2), y.reshape(2, 2, 3)),
        "columns": first @ second[:, 0],
    }


def lookups(number, numbers_):
    return {
        "row": TABLE[number],
        "rows": TABLE[numbers_],
        "one_hot": jax.nn.one_hot(number, 4) + jnp.where(number == 2, 1.0, 0.0),
        "whole": (number * 3 - 1) % 5 + number // 2,
        "column": jax.lax.dynamic_index_in_dim(TABLE, number, axis=1),
        "taken": jnp.take_along_axis(TABLE[:1], jnp.zeros((1, 3), jnp.int32), axis=0),
    }


def loops(x):
    def step(carry, now):
        return carry * 0.5 + now, carry - now

    carry, every = jax.lax.scan(step, jnp.float32(0), x)
    backwards, _ = jax.lax.scan(step, jnp.float32(1), x, reverse=True)
    branch = jax.lax.cond(x[0] > 0, lambda v: v * 2, lambda v: v - 1, x)
    return {
        "carry": carry,
        "every": every,
        "backwards": backwards,
        "branch": branch,
        "slope": jax.grad(lambda v: (v**2).sum())(x),
    }


def draws(words):
    key = jax.random.fold_in(jax.random.wrap_key_data(words), 3)
    return {"normal": jax.random.normal(key, (5,)), "uniform": jax.random.uniform(key), "bits": jax.random.bits(key, (3,))}


FUNCTIONS = {
    "elementwise": (elementwise, {"x": numbers(2, 5), "y": numbers(2, 5)}),
    "gates": (gates, {"x": numbers(6), "h": numbers(6)}),
    "shapes": (shapes, {"x": numbers(12)}),
    "products": (products, {"x": numbers(12), "y": numbers(12)}),
    "lookups": (lookups, {"number": np.int32(2), "numbers_": np.asarray([3, 0, 1, 3, 9], np.int32)}),
    "loops": (loops, {"x": numbers(5)}),
    "draws": (draws, {"words": np.asarray([7, 123456789], np.uint32)}),
}


def expected(function, inputs):
    """What JAX computes, by name, without axes of length one."""
    return {name: short(value) for name, value in jax.jit(function)(**inputs).items()}


def short(array):
    """An array as programs have it."""
    array = np.asarray(array)
    return array.reshape([length for length in array.shape if length != 1])
