"""What encoders make of observations, against the same worked out another way."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_distributions import corridor, shown_as_image, shown_as_symbols
from marks import slow_but
from quickstudy import algorithms
from quickstudy.networks.encoders import convolved, encoder_for, is_image, statistics_for, thing_numbers, things_of
from quickstudy.networks.normalisation import Statistics, observed, see
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import encode, one_hot_cells

CELLS = gymnasium.spaces.MultiDiscrete(np.full((2, 3, 2), (4, 3)), dtype=np.uint8)
MIXED = gymnasium.spaces.MultiDiscrete([2, 3, 4], start=[0, 1, 5])
PIXELS = gymnasium.spaces.Box(0, 255, (9, 12, 3), np.uint8)


def spec_of(space):
    return dataclasses.replace(corridor().spec, observation_space=space)


def made(space, **sizes):
    return encoder_for(spec_of(space), **({"size": 7, "image_channels": (2, 3, 4)} | sizes), key=jax.random.key(0))


def elements(space, count):
    space.seed(0)
    return jnp.asarray(np.stack([space.sample() for _ in range(count)]).astype(np.uint8))


def test_flat_observations_are_read_as_they_were_and_nothing_is_trained():
    space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    encoder, statistics = made(space), Statistics.of_nothing(3)
    assert jax.tree.leaves(encoder) == []
    assert encoder.size == 3
    x = jnp.arange(6.0).reshape(2, 3)
    assert jnp.array_equal(encoder(statistics, x, spec_of(space)), see(statistics, x, spec_of(space)))


def test_symbols_are_one_hot_one_after_another():
    assert encode(jnp.array([1, 3, 5]), MIXED).tolist() == [0, 1, 0, 0, 1, 1, 0, 0, 0]
    cell = encode(jnp.asarray([[[3, 0], [0, 1], [0, 2]], [[1, 0], [2, 0], [0, 0]]], jnp.uint8), CELLS)
    assert cell[:14].tolist() == [0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert cell.sum() == 12


def test_looking_things_up_is_the_product_with_one_hot_ids():
    x = elements(CELLS, 5)
    things = things_of(CELLS)
    assert things.shape == (12, 7)
    assert jnp.array_equal(jnp.asarray(things)[thing_numbers(x, CELLS)], one_hot_cells(x, CELLS))
    encoder = made(CELLS)
    cells = jax.nn.relu(encoder.cell(one_hot_cells(x, CELLS)))
    expected = jax.nn.relu(encoder.together(cells.reshape(5, -1)))
    np.testing.assert_allclose(encoder(None, x, spec_of(CELLS)), expected, atol=1e-5)


def test_cells_share_their_weights_and_unlike_symbols_are_one_cell():
    assert made(CELLS).cell.weight.shape == (8, 7)
    assert made(MIXED).cell.weight.shape == (7, 9)
    assert things_of(MIXED) is None
    assert things_of(gymnasium.spaces.MultiDiscrete(np.full((4, 3), 40))) is None


@pytest.mark.parametrize("space", slow_but([MIXED], [CELLS, MIXED, PIXELS]))
def test_any_leading_axes_and_every_number_counts(space):
    encoder, spec = made(space), spec_of(space)
    x = elements(space, 6)
    flat = encoder(None, x, spec)
    assert flat.shape == (6, 7)
    assert jnp.array_equal(encoder(None, x.reshape(2, 3, *x.shape[1:]), spec), flat.reshape(2, 3, 7))
    np.testing.assert_allclose(encoder(None, x[0], spec), flat[0], atol=1e-5)
    assert len(np.unique(np.asarray(flat), axis=0)) > 1


def test_pixels_are_read_between_zero_and_one():
    space = gymnasium.spaces.Box(0, 255, (8, 8, 1), np.uint8)
    encoder = made(space, image_channels=(8, 8, 8))
    dark, bright = (encoder(None, jnp.full((8, 8, 1), value, jnp.uint8), spec_of(space)) for value in (0, 255))
    assert not dark.any()
    assert 0 < float(bright.max()) < 20


@pytest.mark.parametrize(("shape", "stride"), [((2, 64, 64, 3), 4), ((1, 9, 14, 2), 4), ((3, 5, 4, 1), 2)])
def test_convolutions_are_those_of_jax(shape, stride):
    key_pixels, key_window = jax.random.split(jax.random.key(0))
    pixels = jax.random.normal(key_pixels, shape)
    window = jax.random.normal(key_window, (2 * stride, 2 * stride, shape[-1], 5))
    beyond = [(0, (-(-side // stride) + 1) * stride - side) for side in shape[1:3]]
    expected = jax.lax.conv_general_dilated(
        pixels, window, (stride, stride), beyond, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )
    np.testing.assert_allclose(convolved(pixels, window), expected, rtol=1e-4, atol=1e-4)


def test_of_symbols_and_images_no_statistics_are_kept():
    for distribution in (shown_as_symbols(), shown_as_image()):
        space = distribution.spec.observation_space
        assert statistics_for(space).observation is None
        assert observed(elements(space, 2), space, statistics_for(space)) is None
    assert statistics_for(corridor().spec.observation_space).observation.shape == (2,)
    assert is_image(shown_as_image().spec.observation_space)
    assert not is_image(gymnasium.spaces.Box(0.0, 1.0, (8, 8, 3)))


def test_three_convolutions_are_asked_for():
    with pytest.raises(SpecError, match="3 numbers of channels"):
        made(gymnasium.spaces.Box(0, 255, (8, 8, 1), np.uint8), image_channels=(4, 4))


@pytest.mark.parametrize("name", slow_but(["rl2"], ["rl2", "pearl", "maml"]))
@pytest.mark.parametrize("make", slow_but([shown_as_image], [shown_as_symbols, shown_as_image]))
def test_every_algorithm_takes_symbols_and_images(name, make):
    """Those without an encoder read them flat."""
    settings = {"image_channels": (2, 2, 2), "hidden_size": 8} if name == "rl2" else {"hidden_sizes": (8,)}
    settings |= {"rollouts": 1} if name == "maml" else {}
    spec = make().spec
    agent = algorithms.make(name, spec, **settings).agent
    params = agent.init(jax.random.key(0))
    memory = agent.begin(params, jax.random.key(1))
    seen = elements(spec.observation_space, 1)[0]
    assert agent.act(params, memory, seen, jax.random.key(2)).action.shape == ()


def test_what_is_allowed_need_not_be_read():
    """The last numbers of an observation then reach no weight, and forbidden actions are still never chosen."""
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (5,)),
        action_space=gymnasium.spaces.Discrete(3),
        horizon=1,
        episodes=4,
        action_mask=True,
    )
    for reads, size in ((True, 5), (False, 2)):
        agent = algorithms.make("rl2", spec, cell="gru", hidden_size=4, reads_allowed=reads).agent
        params = agent.init(jax.random.key(0))
        assert params.network.encoder.size == size
        memory = agent.begin(params, jax.random.key(0))
        decisions = [agent.act(params, memory, jnp.float32([0.3, -0.2, 1, last, 1]), jax.random.key(0)) for last in (1, 0)]
        logs = [jax.vmap(decision.extras["policy"].log_probability)(jnp.arange(3)) for decision in decisions]
        apart = [float(log[0] - log[2]) for log in logs]
        assert (apart[0] == pytest.approx(apart[1], abs=1e-6)) != reads
        assert logs[1][1] < -1e6
