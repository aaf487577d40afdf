"""A file that cannot be written fails the task before its first request, and one that can is its owner's alone."""

from __future__ import annotations

import stat

import pytest
from samples import TOKEN
from task_runner import Server, run_try
from test_batch import ALL_ONCE, batch
from test_callbacks_operator import choosing
from upath import UPath

from airflow_provider_wolkvox import files
from airflow_provider_wolkvox.files import require_writable

pytestmark = pytest.mark.usefixtures("wolkvox_connection", "own_sigterm")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    return tmp_path


BAD = {
    "a web address": "https://files.example/results.jsonl",
    "an unknown scheme": "nowhere://results.jsonl",
    "a driver that is missing": "gs://bucket/results.jsonl",
    "a folder": "{folder}/folder",
    "below a file": "{folder}/file/results.jsonl",
    "not to be created": "/proc/results.jsonl",
}


@pytest.mark.parametrize("argument", ["results_path", "report_path"])
@pytest.mark.parametrize("path", BAD.values(), ids=BAD)
def test_a_path_that_cannot_be_written_fails_a_batch_before_its_first_call(simulator, folder, argument, path):
    run = run_try(batch(**{argument: path.format(folder=folder)}), Server(), retries=2)
    assert run.state == "failed"
    assert f"{argument} cannot be written" in str(run.error)
    assert simulator.stats(TOKEN).requests == 0


@pytest.mark.parametrize("path", BAD.values(), ids=BAD)
def test_a_plan_that_cannot_be_written_fails_before_the_first_request(simulator, folder, path):
    run = run_try(choosing(plan_path=path.format(folder=folder)), Server())
    assert run.state == "failed"
    assert "plan_path cannot be written" in str(run.error)
    assert simulator.stats(TOKEN).requests == 0


@pytest.mark.parametrize("value", ["../outside", "a/../../outside", "..\\outside", "a\nb", "x" * 5_000])
def test_what_fills_a_template_does_not_leave_the_folder_that_the_author_wrote(simulator, folder, value):
    server = Server()
    server.variables["name"] = value
    run = run_try(batch(results_path=f"{folder}/folder/{{{{ var.value.name }}}}.jsonl"), server)
    assert run.state == "failed"
    assert "results_path must be a path" in str(run.error)
    assert {*folder.rglob("*")} == {folder / "folder", folder / "file"}
    assert simulator.rings == {}


def test_a_file_in_a_store_of_objects_is_tried_beside_it_and_stays_as_it_is(monkeypatch):
    # The store of this process: Airflow lets no path lead to it.
    monkeypatch.setattr(files, "_target", UPath)
    store = UPath("memory://a-test-of-files")
    (store / "results.jsonl").write_bytes(b"of the last try")
    require_writable(store / "results.jsonl", "results_path")
    assert (store / "results.jsonl").read_bytes() == b"of the last try"
    assert [*store.iterdir()] == [store / "results.jsonl"]


def test_a_file_that_is_there_and_can_only_be_read_is_not_taken_for_one_that_can_be_written(simulator, monkeypatch):
    monkeypatch.setattr(files, "_target", UPath)
    with pytest.raises(ValueError, match="results_path cannot be written"):
        require_writable(f"{simulator.base_url}/_sim/rings", "results_path")


def test_what_a_batch_writes_is_its_owners_alone_and_so_is_a_file_that_was_there(simulator, folder):
    results, report = folder / "new" / "results.jsonl", folder / "report.md"
    report.write_text("of the last try")
    report.chmod(0o644)
    run = run_try(batch(results_path=str(results), report_path=f"file://{report}"), Server())
    assert run.state == "success", run.error
    assert simulator.rings == ALL_ONCE
    assert len(results.read_text().splitlines()) == len(ALL_ONCE)
    assert "of the last try" not in report.read_text()
    assert [stat.S_IMODE(file.stat().st_mode) for file in (results, report)] == [0o600, 0o600]


def test_a_batch_that_fails_before_its_first_call_leaves_an_earlier_report_as_it_is(simulator, folder):
    report = folder / "report.md"
    report.write_text("of the last try")
    run = run_try(batch(report_path=str(report), results_path=str(folder / "folder")), Server())
    assert run.state == "failed"
    assert report.read_text() == "of the last try"
