"""Standard streams outlive their readers; in processes of their own."""

import os
import subprocess
import sys

import pytest

BEGIN = "import os, sys; from quickstudy.protocol.output import keep_writing; files = keep_writing()\n"
MUCH = BEGIN + "for line in range(20000): print(line)\nsys.stdout.flush(); sys.stderr.write('done'); sys.exit(7)"


def run(code, **streams):
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False, **streams)


def test_a_reader_that_leaves_changes_neither_the_work_nor_the_status():
    process = subprocess.Popen([sys.executable, "-c", MUCH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (first, said, process.wait()) == ("0\n", "done", 7)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk_is_kept_to_be_told():
    code = BEGIN + "print('x' * 100000); sys.stdout.flush(); sys.stderr.write(str(files[0].trouble.errno))"
    with open("/dev/full", "w") as full:
        done = run(code, stdout=full)
    assert (done.returncode, done.stderr) == (0, "28")


def test_what_is_written_arrives_in_its_order_and_encoding():
    code = "print('one'); " + BEGIN.strip() + "; print('zwei ε'); os.write(2, b'two')"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, encoding="utf-8", check=False, env=os.environ
    )
    assert (done.stdout, done.stderr) == ("one\nzwei ε\n", "two")


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
def test_a_closed_stream_gives_its_number_to_no_file(closed, tmp_path):
    code = BEGIN + (
        f"file = open({str(tmp_path / 'file')!r}, 'w'); assert file.fileno() > 2\n"
        "print('printed'); sys.stdout.flush(); sys.stderr.write('said')\n"
        "import subprocess\n"
        "assert subprocess.run([sys.executable, '-c', 'import sys; sys.stderr.write(str(1))']).returncode == 0"
    )
    redirections = " ".join(f"{number}>&-" for number in closed.split())
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {redirections}', sys.executable, code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == b""


def test_a_stream_that_the_program_replaced_is_left():
    code = "import io, sys\nsys.stdout = mine = io.StringIO()\n" + BEGIN + "assert sys.stdout is mine and len(files) == 1"
    assert run(code).returncode == 0
