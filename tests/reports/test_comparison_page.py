"""The page that compares training runs; no agent has to be trained for it."""

import html.parser
import xml.etree.ElementTree

import pytest

from evaluation.made_runs import make_run
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.comparison_charts import short_names
from quickstudy.reports.comparison_page import comparison_sentences, write_comparison


class Words(html.parser.HTMLParser):
    """The text of a page."""

    def __init__(self, page):
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data):
        self.text += data


def words(path):
    return Words(path.read_text(encoding="utf-8")).text


def rising(level, *, seeds=3, evaluations=5):
    return [[level * at / evaluations + 0.1 * seed for seed in range(seeds)] for at in range(1, evaluations + 1)]


def test_curves_sentences_and_settings_of_two_runs(tmp_path):
    folders = [make_run(tmp_path / "fast", rising(3.0), rate=0.1), make_run(tmp_path / "slow", rising(1.0), rate=0.2)]
    path = write_comparison(folders, folder=tmp_path / "both")
    assert path == tmp_path / "both" / "comparison.html"
    text = words(path)
    for sentence in comparison_sentences(folders):
        assert sentence in text
    assert "rate0.10.2" in text
    for against in ("steps", "seconds"):
        svg = (tmp_path / "both" / "pictures" / f"comparison-{against}.svg").read_text()
        xml.etree.ElementTree.fromstring(svg)
        assert ">fast<" in svg
        assert (tmp_path / "both" / "pictures" / f"comparison-{against}.png").stat().st_size > 1000


def test_other_tasks_are_shown_apart(tmp_path):
    folders = [make_run(tmp_path / f"arms-{arms}", rising(arms), arms=arms) for arms in (2, 3)]
    text = words(write_comparison(folders, folder=tmp_path / "both"))
    assert "These runs have different tasks, so their returns cannot be compared." in text
    assert "Tasks: some-tasks (arms 2)" in text
    assert len(list((tmp_path / "both" / "pictures").glob("*.svg"))) == 4
    told = comparison_sentences(folders)
    assert "some-tasks (arms 3):" in told
    assert not any("less than" in sentence for sentence in told)


def test_unfinished_runs_are_shown_as_such(tmp_path):
    folders = [
        make_run(tmp_path / "done", rising(2.0)),
        make_run(tmp_path / "going", rising(1.0), finished=False),
        make_run(tmp_path / "begun", [], finished=False),
    ]
    text = words(write_comparison(folders, folder=tmp_path / "all"))
    assert text.count("not finished") == 6  # two runs: in the table and in sentences, and once below each picture
    assert "An open circle marks a run that is not finished." in text


def test_names_are_text(tmp_path):
    folders = [make_run(tmp_path / name, rising(1.0)) for name in ("<b>bold", "red\x1b[31m")]
    page = write_comparison(folders, folder=tmp_path / "both").read_text(encoding="utf-8")
    assert "<b>bold" not in page
    assert "\x1b" not in page
    assert "red\\x1b[31m" in page


def test_what_cannot_be_compared_is_refused(tmp_path):
    one = make_run(tmp_path / "one", rising(1.0))
    begun = [make_run(tmp_path / name, [], finished=False) for name in ("b", "c")]
    with pytest.raises(UsageError, match="2 to 20 runs; came 1"):
        write_comparison([one], folder=tmp_path / "page")
    with pytest.raises(UsageError, match="none of these runs has an evaluation yet"):
        write_comparison(begun, folder=tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b"],
        ["a-name-that-is-too-long-for-a-picture-1", "a-name-that-is-too-long-for-a-picture-2"],
        ["1-" + "x" * 40 + "-end-of-the-first", "1-" + "x" * 40 + "-end-of-the-first-one"],
        ["1" * 30 + "a" * 30 + "1" * 30, "1" * 30 + "b" + "a" * 29 + "1" * 30, "1" * 30],
    ],
)
def test_short_names_are_short_and_differ(names):
    shown = short_names(names)
    assert list(shown) == names
    assert len(set(shown.values())) == len(names)
    assert max(map(len, shown.values())) <= 22
