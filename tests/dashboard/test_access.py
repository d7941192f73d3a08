"""Who may see the dashboard: this machine, or whoever has a token."""

import pytest

from quickstudy.dashboard.access import Access
from quickstudy.serving.http.tokens import EVERYBODY, Tokens, new_token
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.stores import open_store


@pytest.mark.parametrize("host", ["localhost", "localhost:8090", "127.0.0.1:1", "127.8.9.1", "[::1]", "[::1]:8090"])
def test_this_machine_is_let_in(host):
    access = Access(None)
    access.check_host(host)
    assert access.caller(None) == EVERYBODY


@pytest.mark.parametrize(
    "host", ["", "example.org", "localhost.example.org:80", "127.0.0.1.example.org", "192.168.0.1", "[::2]:1"]
)
def test_other_names_are_refused(host):
    with pytest.raises(Refusal, match="this machine only"):
        Access(None).check_host(host)


def test_with_tokens_the_name_does_not_matter_and_the_token_does(tmp_path):
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    text, stored = new_token("acme", ("read",))
    store.add_token(stored)
    access = Access(Tokens(store), loopback=False)
    access.check_host("example.org")
    assert access.caller(text).tenant == "acme"
    for wrong in (None, "", "qs_x_y", text[:-1]):
        with pytest.raises(Refusal, match="needs a token"):
            access.caller(wrong)
    store.close()


def test_a_dashboard_that_others_reach_stays_closed_when_the_last_token_is_gone(tmp_path):
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    with pytest.raises(Refusal, match="there is none"):
        Access(Tokens(store), loopback=False).caller(None)
    assert Access(Tokens(store)).caller(None) == EVERYBODY
    store.close()


def test_forms_need_the_key_and_the_same_site():
    access = Access(None)
    access.check_form(access.form_key, site="same-origin")
    access.check_form(access.form_key)
    with pytest.raises(Refusal, match="out of date"):
        access.check_form("")
    with pytest.raises(Refusal, match="another site"):
        access.check_form(access.form_key, site="cross-site")
