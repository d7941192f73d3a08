"""The page stands alone, says what it must, and draws lifetimes of every shape; no agent has to be trained for it."""

import dataclasses
import html.parser
import re
import xml.etree.ElementTree

import pytest

from marks import slow_but
from quickstudy.evaluation.results import Control
from quickstudy.protocol.errors import UsageError
from quickstudy.reports import canvas
from quickstudy.reports.page import write_report
from quickstudy.reports.wording import Wording
from reports.made_evaluation import RUN, made, metrics
from reports.made_lifetime import LIFETIME


class Page(html.parser.HTMLParser):
    """What a test asks of a page: its tags with their attributes, and whether they were closed in order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.told = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.told.append(data)


def page_of(folder, evaluations, **rest):
    text = write_report(folder, evaluations=evaluations, **rest).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    return text, page


@pytest.fixture(scope="module")
def levels():
    return {"rl2": 0.85, "Thompson sampling": 0.7, "random": 0.2}


def test_a_page_stands_alone(levels, tmp_path):
    text, page = page_of(tmp_path, [made(levels)], metrics=list(metrics()), run=RUN)
    assert len(text) < 1_000_000
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe"} & set(names)
    # The names of XML's own vocabularies are never fetched.
    addresses = set(re.findall(r"https?://[^\"'\s)<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    references = [value[1:] for _, found in page.tags for key, value in found.items() if key in ("href", "xlink:href")]
    identifiers = [found["id"] for _, found in page.tags if "id" in found]
    assert len(identifiers) == len(set(identifiers))
    assert set(references) <= set(identifiers)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(identifiers)


def test_adaptation_comes_first_and_everything_is_there(levels, tmp_path):
    splits = [made(levels, split="ood:close-arms"), made(levels)]
    text, page = page_of(tmp_path, splits, metrics=list(metrics()), run=RUN)
    told = " ".join(page.told)
    places = [
        told.index(word)
        for word in ("is better than", "Adaptation", "Results", "All splits", "Training", "Configuration", "Reproduce")
    ]
    assert places == sorted(places)
    for piece in (
        "0123456789ab",
        "quickstudy train rl2",
        "--split ood:close-arms",
        "hidden_size",
        "2.0 KiB",
        "More measures, and definitions of all",
    ):
        assert piece in told
    labels = [found for tag, found in page.tags if tag == "svg"]
    assert len(labels) == 6
    assert all(found["role"] == "img" for found in labels)
    assert all("Thompson sampling" in found["aria-label"] for found in labels[:5])
    assert "prefers-color-scheme: dark" in text


def test_pictures_lie_beside_the_page_and_are_the_same_each_time(levels, tmp_path):
    for folder in ("one", "two"):
        write_report(tmp_path / folder, evaluations=[made(levels)], metrics=list(metrics()))
    found = sorted(path.name for path in (tmp_path / "one/pictures").iterdir())
    assert found == sorted(
        f"{name}.{kind}" for name in ("adaptation", "differences", "regret", "training") for kind in ("svg", "png")
    )
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    for path in (tmp_path / "one").rglob("*.svg"):
        xml.etree.ElementTree.fromstring(path.read_text())


def test_colours_follow_the_theme(levels, tmp_path):
    text, _ = page_of(tmp_path, [made(levels)])
    drawn = text[text.index("<svg") :]
    assert "var(--series-0)" in drawn
    assert not [colour for colour in (*canvas.LIGHT, canvas.INK, canvas.PAPER) if colour in drawn]
    assert "#000000" not in drawn


@pytest.mark.parametrize(
    "shape",
    slow_but([(1, 1), (30, 2)], [(1, 1), (1, 500), (500, 1), (4, 3), (30, 2)]),
    ids=lambda shape: f"{shape[1]}x{shape[0]}",
)
@pytest.mark.parametrize("anchors", slow_but([True], [True, False]))
def test_lifetimes_of_every_shape_are_drawn(levels, shape, anchors, tmp_path):
    found = made(levels, horizon=shape[0], episodes=shape[1], anchors=anchors)
    page_of(tmp_path, [found, dataclasses.replace(found, split="ood:far", label="out of distribution: far")])


def test_names_are_escaped_and_taken_literally(tmp_path):
    names = {"<b>rl2</b> & $x_1$": 0.8, 'a "quoted" name that is much too long for a label': 0.5, "ε-greedy 学习": 0.4}
    text, page = page_of(tmp_path, [made(names, trained=(next(iter(names)),))], title="<i>title</i>")
    assert "<b>" not in re.sub(r"<li>.*?</li>", "", text)
    assert "<i>" not in text
    told = "".join(page.told)
    for name in names:
        assert name in told


def test_ten_contenders_of_which_three_are_trained(tmp_path):
    names = {f"contender {index}": 0.3 + 0.06 * index for index in range(10)}
    trained = ("contender 3", "contender 6", "contender 9")
    text, _ = page_of(tmp_path, [made(names, trained=trained)])
    assert [table.count('<tr class="trained">') for table in tables_of(text)] == [3, 3]


def test_training_tasks_are_labelled_on_the_page(levels, tmp_path):
    text, page = page_of(tmp_path, [made(levels, split="train")])
    assert 'class="warning"' in text
    assert "TRAINING" in "".join(page.told)


def test_a_page_without_metrics_or_baselines_or_returns(levels, tmp_path):
    page_of(tmp_path / "alone", [made({"rl2": 0.5})])
    page_of(tmp_path / "baseline", [made({"random": 0.5})], metrics=list(metrics()))
    text, _ = page_of(tmp_path / "nothing", [made(levels)], metrics=[{"update": 0, "steps": 0, "seconds": 0.1}])
    assert "<h2>Training</h2>" not in text
    gone = [{"update": 0, "steps": 0, "train_return": [float("nan"), 1.0]}]
    text, _ = page_of(tmp_path / "gone", [made(levels)], metrics=gone)
    assert "<h2>Training</h2>" not in text


def test_no_evaluation_is_no_report(tmp_path):
    with pytest.raises(UsageError, match="at least one evaluation"):
        write_report(tmp_path, evaluations=[])


def test_the_first_sentence_says_whether_the_agent_adapts_and_controls_have_its_colour(levels, tmp_path):
    found = made(levels | {"rl2 without memory": 0.2}, horizon=2, episodes=10)
    control = Control(agent="rl2", change="no memory")
    without = dataclasses.replace(found.results["rl2 without memory"], control=control)
    found = dataclasses.replace(found, results=found.results | {"rl2 without memory": without}, no_score="There is no score.")
    text, page = page_of(tmp_path, [found], metrics=list(metrics()))
    assert re.search(r"<h1>rl2 adapts: \+[\d.]+ \[[\d.]+, [\d.]+\] from the first to the last episode\.</h1>", text)
    told = " ".join(page.told)
    for piece in ("same agent without memory is +", "There is no score.", "Gain: from the first to the last episode"):
        assert piece in told
    pens = canvas.pens(
        [("rl2", True), ("random", False), ("rl2 without memory", False)], controls={"rl2 without memory": "rl2"}
    )
    assert pens["rl2 without memory"].place == pens["rl2"].place
    assert pens["random"].place == 1
    assert "without memory" not in (tmp_path / "pictures" / "training.svg").read_text(encoding="utf-8")


def told_by_blocks(text):
    """The sentences of a page outside tables, folded parts and charts."""
    text = re.sub(r"<(table|details|svg|style|pre|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
    blocks = re.findall(r"<(?:p|h1|figcaption)\b[^>]*>(.*?)</(?:p|h1|figcaption)>", text, flags=re.DOTALL)
    return [sentence for block in blocks for sentence in re.split(r"(?<=\.)\s+", block) if sentence]


def test_no_sentence_stands_twice(levels, tmp_path):
    text, _ = page_of(tmp_path, [made(levels), made(levels, split="ood:close-arms")], metrics=list(metrics()), run=RUN)
    told = told_by_blocks(text)
    assert len(told) > 8
    assert not {sentence for sentence in told if told.count(sentence) > 1}


def test_the_differences_are_drawn_against_each_other_contender(levels, tmp_path):
    found = made(levels)
    _, page = page_of(tmp_path, [found])
    (label,) = (tags["aria-label"] for tag, tags in page.tags if tag == "svg" and "minus that of" in tags["aria-label"])
    difference = found.compare("rl2", "random").difference
    assert f"random +{difference.value:.2f} [" in label
    assert label.index("Thompson sampling") < label.index("random")  # best first
    page_of(tmp_path / "alone", [made({"rl2": 0.5})])
    assert not (tmp_path / "alone" / "pictures" / "differences.svg").exists()


def test_settings_are_folded(levels, tmp_path):
    text, _ = page_of(tmp_path, [made(levels)], run=RUN)
    folded = re.search(r"<h2>Configuration</h2><details>(.*?)</details>", text, flags=re.DOTALL)
    assert "hidden_size" in folded[1]
    assert "<details open" not in text


def test_pages_about_bandits_have_lift_and_the_probability_of_being_best(levels, tmp_path):
    found = made(levels)
    best = dataclasses.replace(found.results["rl2"], probability_of_being_best=0.97)
    text, _ = page_of(tmp_path / "bandit", [dataclasses.replace(found, results=found.results | {"rl2": best})])
    heads = re.findall(r'<th scope="col">(.*?)</th>', text)
    assert [heads.index(name) for name in ("minus rl2", "lift of rl2", "P(best)")] == [4, 5, 6]
    lift = 100 * found.compare("rl2", "random").lift.value
    assert f"<td>+{lift:.1f} %<small>[" in text
    assert "<td>97.0 %</td>" in text
    text, _ = page_of(tmp_path / "other", [made(levels, horizon=2)])
    assert "lift of rl2" not in text


def test_a_page_has_the_words_of_its_readers(levels, tmp_path):
    found = made(levels | {"step-wise reward": 0.4})
    wording = Wording(agent="Our site", unit="conversions", step="visitor")
    text, page = page_of(tmp_path, [found], metrics=list(metrics()), run=RUN, wording=wording)
    told = " ".join(page.told)
    for piece in (
        "Our site adapts",
        "conversions per lifetime",
        "lift of Our site",
        "visitors to 90\N{NO-BREAK SPACE}%",
        "step-wise reward",
    ):
        assert piece in told
    words = re.sub(r"<(pre|details)\b.*?</\1>", " ", text, flags=re.DOTALL).replace("step-wise reward", "")
    assert not re.findall(r"\b(?:rl2|[Ss]teps?|[Rr]ewards?)\b", "".join(Page(words).told[1:]).replace("rl2 on some-tasks", ""))
    with pytest.raises(UsageError, match="another contender is called 'random' already"):
        write_report(tmp_path, evaluations=[found], wording=Wording(agent="random"))


def test_the_page_shows_one_lifetime_below_the_adaptation(levels, tmp_path):
    wording = Wording(agent="Our site")
    _, page = page_of(tmp_path, [made(levels)], lifetime=LIFETIME, wording=wording)
    told = " ".join(page.told)
    places = [told.index(heading) for heading in ("Adaptation", "One lifetime", "One lifetime of Our site", "Results")]
    assert places == sorted(places)
    assert (tmp_path / "pictures" / "lifetime.svg").exists()


def tables_of(text):
    """A page's tables of contenders: the first one and the folded one."""
    return re.findall(r'<table class="contenders">.*?</table>', text.replace("\N{NO-BREAK SPACE}", " "), re.DOTALL)


def columns_of(text):
    """The headings of both tables."""
    return [re.findall(r'<th scope="col">(.*?)</th>', table) for table in tables_of(text)]


def test_what_is_rarely_read_is_folded_and_columns_that_hold_nothing_are_left_out(levels, tmp_path):
    text, _ = page_of(tmp_path, [made(levels)])
    first, further = columns_of(text)
    assert first[:4] == ["agent", "lifetime return", "gain", "normalised score"]
    assert {"lift of rl2", "steps to 90 %"} <= set(first)
    assert further == ["agent", "interquartile mean", "regret", "P(better than rl2)", "memory", "µs per decision"]
    assert text.index("<details>") < text.index("interquartile mean</th>")
    text, _ = page_of(tmp_path / "robot", [made(levels, horizon=4, episodes=3, anchors=False)])
    first, further = columns_of(text)
    assert first == ["agent", "lifetime return", "gain", "minus rl2"]
    assert "regret" not in further
    text, _ = page_of(tmp_path / "alone", [made({"rl2": 0.5}, horizon=4, episodes=3, anchors=False)])
    assert columns_of(text)[0] == ["agent", "lifetime return", "gain"]


def test_splits_with_scores_do_not_share_the_axis_of_those_in_returns(levels, tmp_path):
    without = made(levels, split="ood:close-arms")
    results = {name: dataclasses.replace(result, normalised_score=None) for name, result in without.results.items()}
    page_of(tmp_path, [made(levels), dataclasses.replace(without, results=results)])
    test, close = ((tmp_path / "pictures" / f"split-{name}.svg").read_text() for name in ("test", "ood-close-arms"))
    assert "score (0" in test
    assert "lifetime return" in close
    page_of(tmp_path / "alone", [made(levels), made(levels, split="ood:close-arms")])
    assert test == (tmp_path / "alone" / "pictures" / "split-test.svg").read_text()  # its axis is what it was
