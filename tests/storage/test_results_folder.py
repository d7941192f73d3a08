"""Folders that results cannot go to are refused before anything is measured."""

import os

import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.results_folder import check_results_folder


def test_folders_that_are_there_or_can_be_made(tmp_path):
    check_results_folder(tmp_path)
    check_results_folder(tmp_path / "not" / "there" / "yet")
    assert not (tmp_path / "not").exists()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "inside", "/dev/null"):
        with pytest.raises(UsageError, match=r"is not a folder\. Name another with --folder"):
            check_results_folder(folder)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write everywhere
    with pytest.raises(UsageError, match=r"cannot be written\. Name another"):
        check_results_folder(tmp_path / "new")
