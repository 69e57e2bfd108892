"""The progress bar goes where it is told, and never into a notebook's own output."""

import os

import pytest

from cnndp.progress import progress_bar


def advance(total=5):
    with progress_bar(total, "step") as bar:
        bar.set_description("fig07_ablation cnn s0")
        for _ in range(total):
            bar.update(1)


def test_the_bar_goes_to_the_file_that_the_environment_names(tmp_path, monkeypatch, capfd):
    target = tmp_path / "progress"
    monkeypatch.setenv("CNNDP_PROGRESS", str(target))
    advance()
    text = target.read_text(encoding="utf-8")
    assert "fig07_ablation cnn s0" in text
    assert "5/5" in text
    assert capfd.readouterr() == ("", "")


def test_a_second_bar_is_appended(tmp_path, monkeypatch):
    target = tmp_path / "progress"
    monkeypatch.setenv("CNNDP_PROGRESS", str(target))
    advance(5)
    advance(7)
    assert "5/5" in target.read_text(encoding="utf-8")
    assert "7/7" in target.read_text(encoding="utf-8")


def test_without_a_target_the_bar_goes_to_stderr(monkeypatch, capsys):
    monkeypatch.delenv("CNNDP_PROGRESS", raising=False)
    advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5/5" in captured.err


def test_the_null_device_is_a_fine_target(monkeypatch, capfd):
    monkeypatch.setenv("CNNDP_PROGRESS", os.devnull)
    advance()
    assert capfd.readouterr() == ("", "")


def test_the_file_is_closed_when_the_work_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_PROGRESS", str(tmp_path / "progress"))
    opened = []

    def work():
        with progress_bar(3, "step") as bar:
            opened.append(bar.fp)
            raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        work()
    assert opened[0].closed
