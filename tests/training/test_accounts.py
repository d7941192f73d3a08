"""Seconds by activity add up to the time that has passed."""

import time

import pytest

from quickstudy.training.accounts import Accounts


def test_activities_are_told_apart():
    accounts = Accounts()
    with accounts.timed("training"):
        time.sleep(0.05)
    with accounts.timed("evaluating"):
        time.sleep(0.02)
    assert accounts["training"] >= 0.05
    assert accounts["evaluating"] >= 0.02
    spent = accounts.by_activity({})
    assert set(spent) == {"compiling", "training", "evaluating", "saving"}
    assert sum(spent.values()) <= accounts.total()


def test_collecting_is_a_part_of_training():
    accounts = Accounts()
    with accounts.timed("training"):
        time.sleep(0.05)
    spent = accounts.by_activity({"environment": 0.02, "policy": 0.01})
    assert set(spent) == {"compiling", "evaluating", "saving", "environment", "policy", "update"}
    assert spent["update"] == pytest.approx(accounts["training"] - 0.03)


def test_a_resumed_run_counts_its_earlier_time():
    accounts = Accounts()
    accounts.earlier_seconds = 100.0
    assert 100.0 <= accounts.total() < 101.0
