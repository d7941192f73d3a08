"""Agents without meta-training: classical methods, and the floor. Those that need only a spec can be made by name."""

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.registry import call, resolve

__all__ = ["BASELINES", "make", "registered_name"]

BASELINES = {
    "random": "quickstudy.baselines.random:random_agent",
    "greedy": "quickstudy.baselines.bandits.greedy:greedy_agent",
    "epsilon-greedy": "quickstudy.baselines.bandits.epsilon_greedy:epsilon_greedy_agent",
    "ucb1": "quickstudy.baselines.bandits.ucb1:ucb1_agent",
    "thompson-sampling": "quickstudy.baselines.bandits.thompson:thompson_agent",
    "gittins-index": "quickstudy.baselines.bandits.gittins:gittins_agent",
    "bayes-optimal": "quickstudy.baselines.bandits.bayes_optimal:bayes_optimal_agent",
    "bayes-adaptive": "quickstudy.baselines.mdps.bayes_adaptive:arrival_adaptive_agent",
    "psrl": "quickstudy.baselines.mdps.psrl:psrl_agent",
    "opsrl": "quickstudy.baselines.mdps.opsrl:opsrl_agent",
    "ucrl2": "quickstudy.baselines.mdps.ucrl2:ucrl2_agent",
    "beb": "quickstudy.baselines.mdps.beb:beb_agent",
    "trilateration": "quickstudy.baselines.navigation.trilateration:trilateration_agent",
    "circle-search": "quickstudy.baselines.navigation.circle_search:circle_search_agent",
    "energy-shaping": "quickstudy.baselines.control.energy_shaping:energy_shaping_agent",
    "linear-control": "quickstudy.baselines.control.linear_control:linear_control_agent",
    "direction-finding": "quickstudy.baselines.control.linear_control:direction_finding_agent",
    "self-tuning": "quickstudy.baselines.control.energy_shaping:self_tuning_agent",
    "certainty-equivalence": "quickstudy.baselines.control.drift_control:certainty_equivalence_agent",
    "no-adaptation": "quickstudy.baselines.control.drift_control:no_adaptation_agent",
    "linear-ucb": "quickstudy.baselines.bandits.linear_ucb:linear_ucb_agent",
    "linear-thompson-sampling": "quickstudy.baselines.bandits.linear_thompson:linear_thompson_agent",
    "low-rank-greedy": "quickstudy.baselines.bandits.low_rank_posterior:low_rank_greedy_agent",
    "low-rank-thompson-sampling": "quickstudy.baselines.bandits.low_rank_posterior:low_rank_thompson_agent",
    "fixed-size": "quickstudy.baselines.decisions.stopping:fixed_size_agent",
    "peeking": "quickstudy.baselines.decisions.stopping:peeking_agent",
    "pocock": "quickstudy.baselines.decisions.stopping:pocock_agent",
    "obrien-fleming": "quickstudy.baselines.decisions.stopping:obrien_fleming_agent",
    "mixture-sprt": "quickstudy.baselines.decisions.mixture_tests:mixture_test_agent",
    "confidence-sequence": "quickstudy.baselines.decisions.mixture_tests:confidence_sequence_agent",
    "expected-loss": "quickstudy.baselines.decisions.expected_loss:expected_loss_agent",
    "stopping-programme": "quickstudy.baselines.decisions.stopping_programme:stopping_programme_agent",
    "thompson-allocation": "quickstudy.baselines.decisions.allocation:thompson_allocation_agent",
    "top-two-thompson-allocation": "quickstudy.baselines.decisions.allocation:top_two_allocation_agent",
    "bayes-ucb-allocation": "quickstudy.baselines.decisions.allocation:bayes_ucb_allocation_agent",
    "discounted-thompson-allocation": "quickstudy.baselines.decisions.allocation:discounted_allocation_agent",
    "windowed-thompson-allocation": "quickstudy.baselines.decisions.allocation:windowed_allocation_agent",
    "popularity": "quickstudy.baselines.decisions.popularity:popularity_agent",
    "item-linucb": "quickstudy.baselines.decisions.item_regression:item_ucb_agent",
    "item-thompson-sampling": "quickstudy.baselines.decisions.item_regression:item_thompson_agent",
    "fold-in": "quickstudy.baselines.decisions.item_regression:fold_in_agent",
    "mixture-prior-bayes": "quickstudy.baselines.decisions.mixture_prior:mixture_prior_agent",
    "careful-mixture-prior-bayes": "quickstudy.baselines.decisions.mixture_prior:careful_mixture_prior_agent",
    "variant-linucb": "quickstudy.baselines.decisions.variant_regression:variant_ucb_agent",
    "greedy-linear": "quickstudy.baselines.decisions.variant_regression:variant_greedy_agent",
    "logistic-thompson-sampling": "quickstudy.baselines.decisions.variant_logistic:logistic_thompson_agent",
    "site-thompson-sampling": "quickstudy.baselines.decisions.variant_regression:site_thompson_agent",
    "site-greedy": "quickstudy.baselines.decisions.variant_regression:site_greedy_agent",
    "fixed-price": "quickstudy.baselines.decisions.pricing_rules:fixed_price_agent",
    "explore-then-exploit": "quickstudy.baselines.decisions.pricing_rules:explore_then_exploit_agent",
    "independent-ucb": "quickstudy.baselines.decisions.pricing_rules:independent_ucb_agent",
    "controlled-variance": "quickstudy.baselines.decisions.pricing_rules:controlled_variance_agent",
    "price-process": "quickstudy.baselines.decisions.pricing_gaussian_process:price_process_agent",
    "parametric-thompson": "quickstudy.baselines.decisions.pricing_posterior:parametric_thompson_agent",
    "price-bonus": "quickstudy.baselines.decisions.pricing_posterior:price_bonus_agent",
    "price-programme": "quickstudy.baselines.decisions.pricing_posterior:price_programme_agent",
    "ppo": "quickstudy.baselines.ppo:ppo_agent",
    "visit-bonus": "quickstudy.baselines.mdps.beb:visit_bonus_agent",
    "step-wise-rule": "quickstudy.baselines.mdps.step_wise:step_wise_rule_agent",
    "step-wise-planning": "quickstudy.baselines.mdps.step_wise:step_wise_planning_agent",
    "naive": "quickstudy.baselines.decisions.single_forecaster:naive_agent",
    "seasonal-naive": "quickstudy.baselines.decisions.single_forecaster:seasonal_naive_agent",
    "mean": "quickstudy.baselines.decisions.single_forecaster:mean_agent",
    "ses": "quickstudy.baselines.decisions.single_forecaster:ses_agent",
    "holt": "quickstudy.baselines.decisions.single_forecaster:holt_agent",
    "ar": "quickstudy.baselines.decisions.single_forecaster:ar_agent",
    "ets": "quickstudy.baselines.decisions.single_forecaster:ets_agent",
    "theta": "quickstudy.baselines.decisions.single_forecaster:theta_agent",
    "best-single-expert": "quickstudy.baselines.decisions.single_forecaster:best_single_agent",
    "fixed-share": "quickstudy.baselines.decisions.fixed_share:fixed_share_agent",
    "bocpd": "quickstudy.baselines.decisions.bocpd:bocpd_agent",
    "cash": "quickstudy.baselines.decisions.trading_rules:cash_agent",
    "buy-and-hold": "quickstudy.baselines.decisions.trading_rules:buy_and_hold_agent",
    "volatility-target": "quickstudy.baselines.decisions.trading_rules:volatility_target_agent",
    "momentum": "quickstudy.baselines.decisions.trading_rules:momentum_agent",
    "half-kelly": "quickstudy.baselines.decisions.trading_rules:half_kelly_agent",
    "hmm-filter": "quickstudy.baselines.decisions.regime_filter:estimated_filter_agent",
    "informed-hmm-filter": "quickstudy.baselines.decisions.regime_filter:informed_filter_agent",
    "always-silent": "quickstudy.baselines.decisions.assistant_rules:always_silent_agent",
    "always-ask": "quickstudy.baselines.decisions.assistant_rules:always_ask_agent",
    "ask-first": "quickstudy.baselines.decisions.assistant_rules:ask_first_agent",
    "situation-linucb": "quickstudy.baselines.decisions.assistant_rules:situation_ucb_agent",
    "wish-sampling": "quickstudy.baselines.decisions.assistant_posterior:wish_sampling_agent",
    "expected-value": "quickstudy.baselines.decisions.assistant_posterior:expected_value_agent",
    "own-information": "quickstudy.baselines.decisions.assistant_posterior:own_information_agent",
    "value-of-information": "quickstudy.baselines.decisions.assistant_posterior:information_agent",
    "careful-value-of-information": "quickstudy.baselines.decisions.assistant_posterior:careful_information_agent",
    "daily-ab-test": "quickstudy.baselines.decisions.daily_rules:ab_test_agent",
    "daily-thompson": "quickstudy.baselines.decisions.daily_rules:daily_thompson_agent",
    "thompson-then-best": "quickstudy.baselines.decisions.daily_rules:thompson_then_best_agent",
    "discounted-daily-thompson": "quickstudy.baselines.decisions.daily_rules:discounted_daily_thompson_agent",
    "best-persistent": "quickstudy.baselines.decisions.daily_rules:best_persistent_agent",
    "novelty-bayes": "quickstudy.baselines.decisions.novelty_bayes:novelty_bayes_agent",
    "known-change-points": "quickstudy.baselines.decisions.known_changes:known_changes_agent",
}

_IN_TABLES = {
    "a/b test (28 days)": "daily-ab-test",
    "bayes optimum (exact)": "bayes-optimal",
    "energy shaping (self-tuning)": "self-tuning",
    "linear control (finds the direction)": "direction-finding",
    "linucb": "linear-ucb",
    "low-rank posterior (greedy)": "low-rank-greedy",
    "low-rank posterior (thompson)": "low-rank-thompson-sampling",
    "hmm filter (estimated)": "hmm-filter",
    "hmm filter (informed)": "informed-hmm-filter",
    "o'brien-fleming": "obrien-fleming",
    "posterior with bonus": "price-bonus",
    "price process (gp-ucb)": "price-process",
    "thompson (28 days), then the best": "thompson-then-best",
    "ε-greedy": "epsilon-greedy",
}
"""Names that tables show, in small letters, where they are not those above with spaces."""


def registered_name(name: str) -> str:
    """The key of `BASELINES` for a name as tables show it; any other name as it came.

    Example:
      >>> registered_name("Thompson sampling"), registered_name("LinUCB")
      ('thompson-sampling', 'linear-ucb')
    """
    shown = name.lower()
    key = _IN_TABLES.get(shown, shown.replace(" ", "-"))
    return key if key in BASELINES else name


def make(name: str, spec: Spec) -> Agent:
    """A baseline by its name, or from a user's own file, with its default settings.

    Args:
      name: a key of `BASELINES`, such a name as tables show it, or `path/to/file.py:function`, a function `(spec) -> Agent`.
      spec: of the tasks; spaces, horizon and episodes.
    Raises:
      UnknownNameError: no such baseline.
      UsageError: a file that does not import, or a function that raises or returns something else.
      SpecError: tasks with other spaces or lengths than the baseline needs.
    """
    name = registered_name(name)
    agent = call(name, resolve("baseline", name, BASELINES), spec)
    if not isinstance(agent, Agent):
        raise UsageError(f"{name} must return an Agent; came {type(agent).__name__}.")
    return agent
