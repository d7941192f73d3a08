"""Task distributions, one file each. To add one, write its file and add a line to this table."""

import dataclasses
import inspect
from typing import Any

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.registry import call, check_names, resolve, settings_of
from quickstudy.protocol.setting_values import checked_value, plain_value

__all__ = ["DISTRIBUTIONS", "SUITES", "make"]

# Distributions that need an extra to be installed; most of them run outside JAX. DISTRIBUTIONS holds them too.
SUITES = {
    "ant-direction": "quickstudy.tasks.suites.locomotion.ant:ant_direction",
    "ant-goal": "quickstudy.tasks.suites.locomotion.ant:ant_goal",
    "classification-sets": "quickstudy.tasks.suites.classification_sets:classification_sets",
    "competition-series": "quickstudy.tasks.suites.competition_series.distribution:competition_tasks",
    "half-cheetah-direction": "quickstudy.tasks.suites.locomotion.half_cheetah:half_cheetah_direction",
    "half-cheetah-velocity": "quickstudy.tasks.suites.locomotion.half_cheetah:half_cheetah_velocity",
    "hopper-parameters": "quickstudy.tasks.suites.locomotion.bodies:hopper_parameters",
    "metaworld-ml1": "quickstudy.tasks.suites.meta_world.distribution:metaworld_ml1",
    "metaworld-ml10": "quickstudy.tasks.suites.meta_world.distribution:metaworld_ml10",
    "metaworld-ml45": "quickstudy.tasks.suites.meta_world.distribution:metaworld_ml45",
    "procgen": "quickstudy.tasks.suites.procgen:procgen",
    "recorded-visitors": "quickstudy.tasks.suites.recorded_visitors:recorded_visitors",
    "walker-parameters": "quickstudy.tasks.suites.locomotion.bodies:walker_parameters",
    "xland-minigrid": "quickstudy.tasks.suites.xland.distribution:xland_minigrid",
}

DISTRIBUTIONS = {
    "ab-test": "quickstudy.tasks.decisions.ab_test:ab_test",
    "arrival-mdp": "quickstudy.tasks.mdps.arrival:arrival_mdp",
    "assistant": "quickstudy.tasks.decisions.assistant:assistant",
    "bernoulli-bandit": "quickstudy.tasks.bandits.bernoulli:bernoulli_bandit",
    "cart-pole": "quickstudy.tasks.control.cart_pole:cart_pole",
    "contextual-variants": "quickstudy.tasks.decisions.contextual_variants:contextual_variants",
    "daily-variants": "quickstudy.tasks.decisions.daily_variants:daily_variants",
    "dark-room": "quickstudy.tasks.navigation.dark_room:dark_room",
    "dependent-bandit": "quickstudy.tasks.bandits.dependent:dependent_bandit",
    "drifting-control": "quickstudy.tasks.control.drifting_control:drifting_control",
    "forecasting": "quickstudy.tasks.decisions.forecasting:forecasting",
    "grid-navigation": "quickstudy.tasks.navigation.grid_navigation:grid_navigation",
    "half-circle": "quickstudy.tasks.navigation.half_circle:half_circle",
    "low-rank-bandit": "quickstudy.tasks.bandits.low_rank:low_rank_bandit",
    "pendulum": "quickstudy.tasks.control.pendulum:pendulum",
    "point-navigation": "quickstudy.tasks.navigation.point_navigation:point_navigation",
    "pricing": "quickstudy.tasks.decisions.pricing:pricing",
    "privileged-cart-pole": "quickstudy.tasks.privileged:cart_pole",
    "privileged-pendulum": "quickstudy.tasks.privileged:pendulum",
    "privileged-point-navigation": "quickstudy.tasks.privileged:point_navigation",
    "recommendation": "quickstudy.tasks.decisions.recommendation:recommendation",
    "revealing-arm": "quickstudy.tasks.bandits.revealing:revealing_arm",
    "tabular-mdp": "quickstudy.tasks.mdps.tabular:tabular_mdp",
    "trading": "quickstudy.tasks.decisions.trading:trading",
    **SUITES,
}


def make(name: str, **config: Any) -> AnyDistribution:
    """A task distribution by its name, or from a user's own file.

    Args:
      name: a key of `DISTRIBUTIONS`, or `path/to/file.py:function`, a function that returns a `TaskDistribution` or a
        `HostDistribution`.
      **config: settings of the distribution, as Python has them or as they were stored; the others keep their defaults.
    Raises:
      UnknownNameError: no such distribution or setting.
      MissingExtraError: it needs a suite that is not installed.
      UsageError: a setting of a wrong type or one that cannot be stored, a file that cannot be imported, a function that
        raises or returns something else.
    Example:
      >>> make("bernoulli-bandit", arms=2).config
      {'arms': 2, 'pulls': 100}
    """
    factory = resolve("task distribution", name, DISTRIBUTIONS)
    settings = settings_of(factory)
    check_names(name, config, settings)
    given = {key: checked_value(key, settings[key].annotation, value) for key, value in config.items()}
    resolved = {key: given.get(key, parameter.default) for key, parameter in settings.items()}
    stored = {key: plain_value(key, value) for key, value in resolved.items() if value is not inspect.Parameter.empty}
    distribution = call(name, factory, **given)
    if not isinstance(distribution, AnyDistribution):
        raise UsageError(f"{name} must return a TaskDistribution or a HostDistribution; came {type(distribution).__name__}.")
    return dataclasses.replace(distribution, name=name, config=stored)
