"""Lines of metrics: a damaged one is left out, and no line joins a torn one."""

import errno
import json
import os

import pytest

from quickstudy.storage.metrics_file import MetricsFile, read, read_metrics


def line(update, **more):
    return {"update": update, "steps": 160 * update, "seconds": 0.25 * update, "train_return": [0.1 * update, -1e-9]} | more


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    for update in (1, 2, 3):
        file.append(line(update))
    return path


def test_lines_come_back_as_they_were_and_are_json(path):
    assert read_metrics(path.parent) == [line(1), line(2), line(3)]
    assert [json.loads(one)["train_return"][0] for one in path.read_text().splitlines()] == [0.1, 0.2, 0.1 * 3]
    assert read_metrics(path.parent / "nowhere") == []


def test_no_flipped_bit_is_taken_in(path):
    data = path.read_bytes()
    whole = [line(1), line(2), line(3)]
    for bit in range(0, 8 * len(data), 3):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        lines, _, _ = read(path)
        assert all(one in whole for one in lines)
        assert len(lines) >= 1


def test_a_changed_number_is_said_once(path, caplog):
    path.write_text(path.read_text().replace("320", "321"))
    assert read_metrics(path.parent) == [line(1), line(3)]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: 1 line is cut off or damaged and left out."]


def test_a_line_that_is_being_written_is_not_yet_there(path, caplog):
    with open(path, "a") as file:
        file.write('{"update": 4, "ste')
    assert read_metrics(path.parent) == [line(1), line(2), line(3)]
    assert not caplog.records


def test_the_next_line_does_not_join_a_torn_one(path, caplog):
    with open(path, "a") as file:
        file.write('{"update": 4, "ste')
    file = MetricsFile(path)
    assert file.keep(3) == [line(1), line(2), line(3)]
    file.append(line(4))
    assert read(path) == ([line(1), line(2), line(3), line(4)], 0, 0)
    assert "1 line is cut off or damaged and left out" in caplog.text


def test_lines_after_the_checkpoint_are_dropped(path):
    file = MetricsFile(path)
    assert file.keep(2) == [line(1), line(2)]
    file.append(line(3, again=[1.0]))
    assert read_metrics(path.parent)[-1] == line(3, again=[1.0])


def test_doubled_and_disordered_lines_are_left_out(path):
    path.write_text(path.read_text() * 2)
    assert read(path) == ([line(1), line(2), line(3)], 3, 0)


def test_files_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2, "lo\n[3]\n\n{"update": "4"}\n{"update": 5}\n')
    assert read(path) == ([{"update": 1}, {"update": 5}], 3, 0)
    MetricsFile(path).keep(5)
    assert '"digest"' in path.read_text()


@pytest.mark.parametrize("can_truncate", [True, False])
def test_a_line_that_a_full_disk_cut_off_waits_and_joins_no_other(path, monkeypatch, can_truncate):
    file, write = MetricsFile(path), os.write

    def first_part_fits(handle, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, bytes(data[: len(data) - 19]))

    def broken(handle, size):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as full:
        full.setattr(os, "write", first_part_fits)
        if not can_truncate:
            full.setattr(os, "ftruncate", broken)
        for update in (4, 5):
            with pytest.raises(OSError, match="No space left"):
                file.append(line(update))
        if can_truncate:
            assert read(path) == ([line(1), line(2), line(3)], 0, 0)
    file.append(line(6))
    lines, damaged, torn = read(path)
    assert lines == [line(update) for update in (1, 2, 3, 4, 5, 6)]
    assert (damaged, torn) == (0 if can_truncate else 3, 0)  # two torn lines, and one that was written twice
