"""What pages keep between requests."""

import pytest

from quickstudy.dashboard.kept import Kept, KeptFiles


def test_answers_are_found_once_and_the_newest_are_kept():
    kept, found = Kept(2), []
    for question in ("a", "b", "a", "c", "a", "b"):
        assert kept.answer(question, lambda question=question: found.append(question) or question.upper()) == question.upper()
    assert found == ["a", "b", "c", "b"]  # "b" was asked for longest ago when "c" came


def test_an_error_is_no_answer():
    kept = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.answer("a", lambda: 1 // 0)
    assert kept.answer("a", lambda: 1) == 1


def test_a_file_is_read_again_only_if_it_has_changed(tmp_path):
    files, path, read = KeptFiles(2), tmp_path / "a", []

    def text(place):
        read.append(place)
        return place.read_text() if place.is_file() else None

    assert [files.read(path, text, path) for _ in range(2)] == [None, None]
    path.write_text("one")
    assert [files.read(path, text, path) for _ in range(2)] == ["one", "one"]
    path.write_text("three")
    assert files.read(path, text, path) == "three"
    assert len(read) == 3
    for name in "bc":
        files.read(tmp_path / name, text, tmp_path / name)  # one more than it keeps
    assert files.read(path, text, path) == "three"
    assert len(read) == 6
