"""The page in a browser: nothing has to be scrolled sideways. Skipped where there is no Chromium."""

import os
import re
import shutil
import subprocess

import pytest

from reports.made_evaluation import RUN, made, metrics
from reports.test_page import page_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  const wide = [...document.querySelectorAll("html, body, .scroll")].filter((e) => e.scrollWidth > e.clientWidth);
  document.title = "too wide: " + wide.map((e) => `${e.tagName}.${e.className} ${e.scrollWidth}>${e.clientWidth}`).join(", ");
})</script>"""
LEVELS = {
    "rl2": 0.85,
    "rl2, shuffled rewards": 0.2,
    "Thompson sampling with a long name": 0.7,
    "Bayes optimum (exact)": 0.8,
    "A/B test": 0.5,
}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [1100, 700])
def test_no_table_is_wider_than_the_window(tmp_path, width):
    text, _ = page_of(tmp_path, [made(LEVELS), made(LEVELS, split="ood:close-arms")], metrics=list(metrics()), run=RUN)
    (tmp_path / "measured.html").write_text(text.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
    ]
    done = subprocess.run(
        [BROWSER, *flags, "--dump-dom", (tmp_path / "measured.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert re.findall(r"<title>(.*?)</title>", done.stdout) == ["too wide: "]
