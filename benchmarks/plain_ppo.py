"""A plain recurrent PPO on Bernoulli bandits, in one jit: what a good tutorial would write, for comparison of speed.

The same network, lifetimes, epochs, minibatches and surrogate as `quickstudy.algorithms.rl2`; the recurrence is a
`jax.lax.scan` of a textbook GRU cell, differentiated by JAX, on one device.
"""

import jax
import jax.numpy as jnp
import optax

DISCOUNT, TRACE_DECAY, CLIP, VALUE_WEIGHT, ENTROPY_BONUS = 0.99, 0.9, 0.2, 2.0, 0.05


def dense(key, inputs, outputs):
    """Weights of one layer."""
    return {"w": jax.random.normal(key, (inputs, outputs)) / inputs**0.5, "b": jnp.zeros(outputs)}


def init(key, *, arms, hidden_size):
    """All weights: an input is the last action, its reward, and two constants where other tasks have observations."""
    keys = jax.random.split(key, 5)
    return {
        "input": dense(keys[0], arms + 4, 3 * hidden_size),
        "recurrent": dense(keys[1], hidden_size, 3 * hidden_size),
        "shared": dense(keys[2], hidden_size + 1, hidden_size),
        "policy": dense(keys[3], hidden_size, arms),
        "value": dense(keys[4], hidden_size, 1),
    }


def apply(layer, x):
    """One layer."""
    return x @ layer["w"] + layer["b"]


def cell(params, hidden, x):
    """A textbook GRU cell, both products in the step."""
    x_r, x_z, x_n = jnp.split(apply(params["input"], x), 3, axis=-1)
    h_r, h_z, h_n = jnp.split(apply(params["recurrent"], hidden), 3, axis=-1)
    reset, update = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    return (1 - update) * jnp.tanh(x_n + reset * h_n) + update * hidden


def heads(params, hidden):
    """Logits and value from the hidden state."""
    ones = jnp.ones((*hidden.shape[:-1], 1))
    shared = jax.nn.relu(apply(params["shared"], jnp.concatenate([hidden, ones], axis=-1)))
    return apply(params["policy"], shared), apply(params["value"], shared)[..., 0]


def encode(action, reward, *, arms):
    """What the core reads of a step."""
    constant = jnp.ones((*action.shape, 3))
    return jnp.concatenate([jax.nn.one_hot(action, arms), reward[..., None], constant], axis=-1)


def trainer(*, arms=5, pulls=100, hidden_size=64, lifetimes=512, epochs=4, minibatches=4, learning_rate=1.5e-3):
    """`(init, train)`: a state from a key, and one compiled update `(state, key, progress) -> (state, mean return)`."""
    optimiser = optax.chain(optax.clip_by_global_norm(0.5), optax.scale_by_adam(eps=1e-5))

    def run_lifetime(params, key):
        key_tasks, key_steps = jax.random.split(key)
        probability = jax.random.uniform(key_tasks, (lifetimes, arms))

        def step(hidden, key):
            key_action, key_reward = jax.random.split(key)
            logits, value = heads(params, hidden)
            action = jax.random.categorical(key_action, logits)
            log_probability = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]
            chance = jnp.take_along_axis(probability, action[:, None], axis=1)[:, 0]
            reward = (jax.random.uniform(key_reward, (lifetimes,)) < chance).astype(jnp.float32)
            return cell(params, hidden, encode(action, reward, arms=arms)), (action, reward, value, log_probability)

        return jax.lax.scan(step, jnp.zeros((lifetimes, hidden_size)), jax.random.split(key_steps, pulls))[1]

    def advantages(reward, value):
        def step(carry, x):
            following, advantage = carry
            reward, value = x
            advantage = reward + DISCOUNT * following - value + DISCOUNT * TRACE_DECAY * advantage
            return (value, advantage), advantage

        zeros = jnp.zeros(reward.shape[1])
        return jax.lax.scan(step, (zeros, zeros), (reward, value), reverse=True)[1]

    def loss(params, batch, progress):
        action, reward, behaviour, advantage, target = batch
        step = lambda hidden, x: (cell(params, hidden, x), hidden)  # noqa: E731
        hidden = jax.lax.scan(step, jnp.zeros((action.shape[1], hidden_size)), encode(action, reward, arms=arms))[1]
        logits, value = heads(params, hidden)
        log_policy = jax.nn.log_softmax(logits)
        ratio = jnp.exp(jnp.take_along_axis(log_policy, action[..., None], axis=-1)[..., 0] - behaviour)
        surrogate = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage).mean()
        entropy = -(jnp.exp(log_policy) * log_policy).sum(-1).mean()
        return -surrogate + VALUE_WEIGHT * jnp.square(value - target).mean() / 100 - ENTROPY_BONUS * (1 - progress) * entropy

    def gradient_step(state, batch, progress):
        params, optimiser_state = state
        gradient = jax.grad(loss)(params, batch, progress)
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, params)
        rate = learning_rate * (1 - 0.95 * progress)
        return (jax.tree.map(lambda w, u: w - rate * u, params, updates), optimiser_state), None

    @jax.jit
    def train(state, key, progress):
        key_live, key_epochs = jax.random.split(key)
        action, reward, value, log_probability = run_lifetime(state[0], key_live)
        advantage = advantages(reward, value)
        target = advantage + value
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        experience = (action, reward, log_probability, advantage, target)

        def epoch(state, key):
            order = jax.random.permutation(key, lifetimes)
            cut = lambda x: jnp.moveaxis(x[:, order].reshape(pulls, minibatches, -1), 1, 0)  # noqa: E731
            step = lambda state, batch: gradient_step(state, batch, progress)  # noqa: E731
            return jax.lax.scan(step, state, jax.tree.map(cut, experience))

        state, _ = jax.lax.scan(epoch, state, jax.random.split(key_epochs, epochs))
        return state, reward.sum(0).mean()

    def begin(key):
        params = init(key, arms=arms, hidden_size=hidden_size)
        return params, optimiser.init(params)

    return begin, train
