"""A run stops where too many steps or lifetimes are lost, and at the first number that is not finite."""

import jax.numpy as jnp
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import CollectingError, NonFiniteError
from quickstudy.training.finite import check_update

GOOD = {"loss": [1.0, 2.0], "nonfinite_steps": [2.0, 3.0], "lost": [4.0, 4.0]}


def checked(metrics, state=None):
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=8)
    state = {"weight": jnp.zeros(3)} if state is None else state
    check_update(metrics, state, algorithm, update=3, latest_checkpoint=lambda: "the last good checkpoint is 2")


def test_half_of_the_steps_and_of_the_lifetimes_may_be_lost():
    checked(GOOD)
    checked({"loss": [1.0], "nonfinite_steps": [0.0]})


def test_more_than_half_of_the_lifetimes_are_too_many():
    with pytest.raises(CollectingError, match=r"update 3 \(step 120\): 5 of 8 lifetimes were lost"):
        checked(GOOD | {"lost": [4.0, 6.0]})


def test_more_than_half_of_the_steps_are_too_many():
    with pytest.raises(NonFiniteError, match="were not finite, on 60% of the steps"):
        checked(GOOD | {"nonfinite_steps": [2.0, 4.0]})


@pytest.mark.parametrize(
    "metrics",
    [
        {"nonfinite_steps": [4.0, 4.0], "overflowing_steps": [4.0, 3.0]},
        {"loss": [float("nan"), 1.0], "train_return": [1e20, 3.0]},
        {"loss": [float("nan"), 1.0], "train_return": [float("inf"), 3.0]},
    ],
)
def test_rewards_that_overflow_are_said_to_and_the_learning_rate_is_not_blamed(metrics):
    with pytest.raises(NonFiniteError, match=r"rewards overflow.+Divide the rewards") as caught:
        checked(GOOD | metrics)
    assert "learning rate" not in str(caught.value)


def test_what_is_not_finite_is_named():
    with pytest.raises(
        NonFiniteError, match=r"loss is not finite; the parameters are still finite; the last good checkpoint is 2"
    ):
        checked(GOOD | {"loss": [1.0, float("nan")]})
    state = {"count": jnp.arange(2), "weight": jnp.array([0.0, jnp.inf])}
    with pytest.raises(NonFiniteError, match=r"first array with it: state\['weight'\]"):
        checked(GOOD | {"loss": [1.0, float("inf")]}, state)
