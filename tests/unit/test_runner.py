"""The runner on notebooks of a line or two; tests/notebooks runs the real ones with it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from botocore.exceptions import ClientError

from utils.config import Config
from utils.runner import conditions, kernels, report, tutorial
from utils.runner.notebooks import NotebookFailed
from utils.runner.tutorial import main

ROOT = Path(__file__).parents[2]

PATH_TO_UTILS = {**os.environ, "PYTHONPATH": str(ROOT)}
CONFIG = Config("local", "sagemaker-batch", "us-east-1", "000000000000")
pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes notebooks of the given code cells; nothing they or the runner do needs an embedded AWS."""
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "local_aws.py").write_text(
        "from types import SimpleNamespace\nstart = lambda: SimpleNamespace(endpoint_url='http://127.0.0.1:9')\n"
        "COMMAND = 'python -m local_aws'\n"
    )
    monkeypatch.setattr(kernels, "ROOT", tmp_path / "stand-in")  # for the kernels, which connect ahead of the notebook
    monkeypatch.setattr(tutorial, "embedded_state", lambda: None)
    monkeypatch.setattr(tutorial, "connect", lambda **_: None)
    monkeypatch.setattr(tutorial, "only_tagged", lambda *_: [])
    (tmp_path / "notebooks").mkdir()

    def write(**notebooks: list[str]) -> Path:
        for name, cells in notebooks.items():
            parameters = nbformat.v4.new_code_cell("target = prefix = region = None", metadata={"tags": ["parameters"]})
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_markdown_cell(f"# Title of {name}"), parameters]
                + [nbformat.v4.new_code_cell(cell) for cell in cells],
                metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            )
            nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
        return tmp_path / "notebooks"

    return write


def printed_by(executed: Path) -> str:
    cells = json.loads(executed.read_text())["cells"]
    return "".join("".join(output.get("text", [])) for cell in cells for output in cell.get("outputs", []))


def test_notebooks_run_in_order_and_leave_their_copies_one_page_and_a_record(make, tmp_path, capsys):
    there = make(**{"02_second": ["print('two')"], "01_first": ["print('one', prefix)", "1 + 1"]})
    outputs = tmp_path / "outputs"
    assert main(["--prefix", "sagemaker-mine"], there, outputs) == 0

    told = capsys.readouterr().out
    lines = [re.sub(r" +", " ", line) for line in told.splitlines() if line]
    assert re.fullmatch(r"01_first 3 cells \d+\.\d s", lines[0])
    assert re.fullmatch(r"02_second 2 cells \d+\.\d s", lines[1])
    assert re.fullmatch(r"2 notebooks 5 cells \d+\.\d s", lines[2])
    assert "\x1b" not in told

    assert printed_by(outputs / "01_first.ipynb") == "one sagemaker-mine\n"
    page = (outputs / "tutorial.html").read_text()
    assert page.index("Title of 01_first") < page.index("Title of 02_second")
    record = json.loads((outputs / "run.json").read_text())
    assert [(each["notebook"], each["cells"]) for each in record["notebooks"]] == [("01_first", 3), ("02_second", 2)]
    assert sum(each["seconds"] for each in record["notebooks"]) <= record["seconds"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        (["--from", "02"], ["02_b", "07_cleanup"]),
        (["--from", "2", "--keep"], ["02_b"]),
        (["--only", "01"], ["01_a"]),
        (["--only", "02_b"], ["02_b"]),
        (["--keep"], ["01_a", "02_b"]),
    ],
)
def test_which_notebooks_run(arguments, run, make, tmp_path, monkeypatch):
    monkeypatch.setattr(tutorial, "leftovers", lambda *_: [])
    there = make(**{"01_a": ["1"], "02_b": ["2"], "07_cleanup": ["7"]})
    assert main(arguments, there, tmp_path / "outputs") == 0
    assert sorted(path.stem for path in (tmp_path / "outputs").glob("*.ipynb")) == run


def test_what_cleanup_left_is_named_and_is_not_good(make, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "leftovers", lambda *_: ["queue q", "role r"])
    assert main([], make(**{"07_cleanup": ["7"]}), tmp_path / "outputs") == 1
    told = capsys.readouterr().out
    assert "cleanup    left behind: queue q, role r" in told
    assert "next  " not in told  # before that is mended


def test_what_only_the_tag_register_lists_is_named_and_fails_nothing(make, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "leftovers", lambda *_: [])
    monkeypatch.setattr(tutorial, "only_tagged", lambda *_: ["arn:aws:sqs:us-east-1:000000000000:q"])
    assert main([], make(**{"07_cleanup": ["7"]}), tmp_path / "outputs") == 0
    told = capsys.readouterr().out
    assert "cleanup    nothing left behind" in told
    assert [line[:11].strip() for line in told.splitlines()[-2:]] == ["next", ""]
    assert "make lab" in told and "deploy/README.md" in told
    assert "still in AWS's tag register, which may lag by hours: arn:aws:sqs:us-east-1:000000000000:q" in told


def test_an_aws_that_refuses_the_closing_questions_is_one_sentence(make, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, "ListRules")

    monkeypatch.setattr(tutorial, "leftovers", refuse)
    assert main([], make(**{"07_cleanup": ["7"]}), tmp_path / "outputs") == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "An error occurred (AccessDeniedException) when calling the ListRules operation: not authorized"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "09"], "there is no notebook 09. There are 01_a"),
        (["--only", "01", "--from", "01"], "--only and --from exclude each other"),
        (["--only", "7", "--keep"], "nothing is left to run"),
        (["--target", "azure"], "invalid choice: 'azure'"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, sentence, make, tmp_path, capsys):
    there = make(**{"01_a": ["1"], "07_cleanup": ["7"]})
    with pytest.raises(SystemExit) as stop:
        main(arguments, there, tmp_path / "outputs")
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_failure_names_notebook_cell_and_error_and_how_to_go_on(make, tmp_path, capsys):
    there = make(**{"01_a": ["1"], "02_b": ["ok = 1", "queue = 'q'\nraise KeyError(queue)"], "03_c": ["3"]})
    outputs = tmp_path / "outputs"
    before = set(psutil.Process().children())
    assert main(["--region", "eu-west-1"], there, outputs) == 1
    told = capsys.readouterr().out
    assert "02_b.ipynb failed in code cell 3:" in told
    assert "    queue = 'q'\n    raise KeyError(queue)\n" in told
    assert "KeyError: 'q'" in told
    assert told.endswith(
        'Go on from here with\n    make tutorial ARGS="--from 02 --region eu-west-1"\n'
        'or delete what was made with\n    make tutorial ARGS="--only 07 --region eu-west-1"\n'
    )
    assert not (outputs / "03_c.ipynb").exists()
    executed = json.loads((outputs / "02_b.ipynb").read_text())
    assert any(output["output_type"] == "error" for cell in executed["cells"] for output in cell.get("outputs", []))
    assert set(psutil.Process().children()) <= before  # the kernel started ahead for 03_c is gone too


def test_a_cleanup_that_fails_is_not_advised_again(make, tmp_path, capsys):
    assert main([], make(**{"07_cleanup": ["raise ValueError"]}), tmp_path / "outputs") == 1
    assert capsys.readouterr().out.endswith('Go on from here with\n    make tutorial ARGS="--from 07"\n')


def test_a_kernel_that_dies_is_a_failure_too(make, tmp_path, capsys):
    there = make(**{"01_a": ["import os", "os._exit(3)"]})
    assert main([], there, tmp_path / "outputs") == 1
    assert re.search(r"failed in code cell 3:\s+os._exit\(3\)\s+Kernel died", capsys.readouterr().out)


def test_an_unusable_target_is_one_sentence(make, tmp_path, capsys, monkeypatch):
    there = make(**{"01_a": ["1"]})
    assert main(["--prefix", "batch"], there, tmp_path / "outputs") == 1
    told = capsys.readouterr().out
    assert told.startswith('prefix is "batch". It must contain "sagemaker"')
    assert told.count("\n") == 1


def test_importing_ahead_binds_no_name(make, tmp_path):
    there = make(**{"01_a": ["import sys\nprint('colorsys' in sys.modules, 'colorsys' in dir())", "import colorsys"]})
    assert main([], there, tmp_path / "outputs") == 0
    assert printed_by(tmp_path / "outputs" / "01_a.ipynb") == "True False\n"


def test_an_import_that_fails_ahead_is_left_for_the_notebooks_own_cell(make, tmp_path, capsys):
    there = make(**{"01_a": ["import there_is_no_such_module"]})
    assert main([], there, tmp_path / "outputs") == 1
    assert "ModuleNotFoundError: No module named 'there_is_no_such_module'" in capsys.readouterr().out


def test_the_runner_and_its_kernels_import_without_the_parser_of_iris(make, tmp_path):
    """It takes longer than the rest of papermill. The notebook can import it all the same."""
    code = "import json, sys; json.dump([name in sys.modules for name in {names}], open('seen.json', 'w'))"
    names = "('jsonschema', 'rfc3987_syntax')"
    notebooks = make(**{"05_imports": ["import jsonschema", code.format(names=names), "__import__('rfc3987_syntax')"]})
    assert main([], notebooks, tmp_path / "outputs") == 0
    assert json.loads((notebooks / "seen.json").read_text()) == [True, False]
    script = f"from utils.runner import tutorial as t\nt.import_jsonschema()\nimport papermill, nbconvert\n{code}"
    subprocess.run([sys.executable, "-c", script.format(names=names)], cwd=tmp_path, check=True, env=PATH_TO_UTILS)
    assert json.loads((tmp_path / "seen.json").read_text()) == [True, False]


@pytest.mark.thorough
def test_an_interrupt_ends_the_run_and_its_kernels(make, tmp_path):
    there = make(**{"01_a": ["import time; open('begun', 'w').close(); time.sleep(600)"], "02_b": ["2"]})
    code = (
        "import sys, pathlib, signal\nfrom utils.runner import tutorial\ntutorial.connect = lambda **_: None\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a CI may run all in a shell that ignores it
        f"sys.exit(tutorial.main([], pathlib.Path({str(there)!r}), pathlib.Path({str(tmp_path / 'outputs')!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (there / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    kernels = psutil.Process(process.pid).children()
    assert len(kernels) == 2
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert process.returncode == 130, told + errors
    assert "Interrupted" in told
    assert "Traceback" not in errors
    assert not any(kernel.is_running() for kernel in kernels)


def test_kernels_end_with_what_interrupts_them(make):
    """That of the notebook that runs, and the one that is started ahead."""
    notebooks = sorted(make(**{"01_a": ["1"], "02_b": ["2"]}).glob("*.ipynb"))
    before = set(psutil.Process().children())
    with pytest.raises(KeyboardInterrupt), kernels.Kernels(notebooks, {}) as started:
        started.get(notebooks[0])
        begun = set(psutil.Process().children()) - before
        raise KeyboardInterrupt
    assert len(begun) == 2
    assert not any(kernel.is_running() for kernel in begun)


class NoKernels:
    """For notebooks that are not run."""

    def __init__(self, *_):
        self.get = self.stop = lambda _: None

    def __enter__(self):
        return self

    def __exit__(self, *_): ...


@pytest.fixture
def interrupts_are_heard():
    """Also in a shell that ignores them, as one does that runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_are_heard")
@pytest.mark.parametrize("error", [RuntimeError("Kernel died"), None])
def test_what_fails_because_of_an_interrupt_is_no_failure(make, tmp_path, monkeypatch, capsys, error):
    """Between two notebooks it hits a kernel that is being started, which then seems to have died."""

    def interrupted(notebook, *_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise error or NotebookFailed(notebook, 1, "1", "Kernel died")

    monkeypatch.setattr(tutorial, "run_notebook", interrupted)
    monkeypatch.setattr(tutorial, "Kernels", NoKernels)
    assert main([], make(**{"01_a": ["1"]}), tmp_path / "outputs") == 130
    told = capsys.readouterr()
    assert told.out == "\nInterrupted. What was made so far is still there.\n" and told.err == ""


# What the machine lacks, or has too much of


def test_a_dead_aws_is_noticed_and_the_advice_is_to_begin_again(make, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "leftovers", lambda *_: [])
    there = make(**{"01_a": ["1"], "02_b": ["1 / 0"], "07_cleanup": ["7"]})
    outputs = tmp_path / "outputs"
    states = iter(["first", "second", "second", "second", "second", "second"])
    monkeypatch.setattr(tutorial, "embedded_state", lambda: next(states))
    assert main(["--prefix", "sagemaker-mine"], there, outputs) == 1
    told = capsys.readouterr().out
    assert "The embedded AWS ended meanwhile" in told and "--from" not in told
    assert 'Begin again with\n    make tutorial ARGS="--prefix sagemaker-mine"\n' in told

    assert main(["--from", "02"], there, outputs) == 1
    told = capsys.readouterr().out
    assert "the notebooks before 02 ran on has ended" in told and told.endswith("Begin again with\n    make tutorial\n")
    assert main(["--only", "07"], there, outputs) == 0  # which needs nothing


def test_another_aws_that_has_the_earlier_notebooks_resources_will_do(make, tmp_path, monkeypatch):
    """As when they were run in JupyterLab since."""
    monkeypatch.setattr(tutorial, "leftovers", lambda *_: ["queue q"])
    monkeypatch.setattr(tutorial, "embedded_state", lambda: "second")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "embedded_aws.json").write_text('{"state_id": "first"}')
    assert main(["--only", "02"], make(**{"01_a": ["1"], "02_b": ["2"]}), tmp_path / "outputs") == 0


def test_the_repositorys_own_utils_come_first(make, tmp_path, monkeypatch):
    (tmp_path / "stand-in" / "utils").symlink_to(ROOT / "utils")
    (tmp_path / "other" / "utils").mkdir(parents=True)
    (tmp_path / "other" / "utils" / "__init__.py").write_text("raise ImportError('another one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    assert main([], make(**{"01_a": ["from utils import config"]}), tmp_path / "outputs") == 0


def test_two_runs_at_once_do_not_mix_their_outputs(make, tmp_path, capsys):
    there, outputs = make(**{"01_a": ["1"]}), tmp_path / "outputs"
    outputs.mkdir()
    with conditions.lock_outputs(outputs):
        assert main(["--prefix", "sagemaker-other"], there, outputs) == 1
    assert f"Another run writes to {outputs}. Wait for its end" in capsys.readouterr().out
    conditions.lock_outputs(outputs).close()  # it ends with the run


LIMITED = """
import resource, sys
from utils.runner import conditions
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
try:
    conditions.raise_file_limit()
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except conditions.ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "said"), [(64, 64, "only 64 files open here"), (64, 512, "256"), (300, 512, "300")]
)
def test_the_limit_of_open_files_is_raised_or_one_sentence(soft, hard, said):
    line = [sys.executable, "-c", LIMITED, str(soft), str(hard)]
    assert said in subprocess.run(line, capture_output=True, text=True, check=True).stdout


AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from utils.runner import conditions
os.setuid(65534)
try:
    conditions.make_outputs(Path(sys.argv[1]), ["01_iam.ipynb"])
except conditions.ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_executed_notebook_of_roots_is_one_sentence():
    with tempfile.TemporaryDirectory() as directory:  # pytest's own let no other user in
        outputs = Path(directory) / "outputs"
        outputs.mkdir()
        for path in (outputs.parent, outputs):
            os.chown(path, 65534, 65534)
        (outputs / "01_iam.ipynb").touch()
        line = [sys.executable, "-c", AS_ANOTHER_USER, str(outputs)]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        assert said.startswith(f"{outputs / '01_iam.ipynb'} belongs to root") and "sudo chown -R" in said


def test_a_dollar_in_the_path_is_one_sentence(tmp_path):
    folder = tmp_path / "a$b"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    made = subprocess.run(["make", "tutorial"], cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 2
    assert f'The folder "{folder}" has a $ in its path. Move the repository' in made.stderr
    assert len(made.stderr.splitlines()) == 1 and not (folder / ".venv").exists()


# What the report says


class Pages:
    def __init__(self, key: str, items: list) -> None:
        self.key, self.items = key, items

    def paginate(self, **_):
        return [{self.key: self.items[:1]}, {self.key: self.items[1:]}]


def session(executions: list[dict], jobs: list[dict], written: set[str]):
    """What the report asks of AWS, as plain data."""
    clients = {
        "sagemaker": SimpleNamespace(get_paginator=lambda _: Pages("PipelineExecutionSummaries", executions)),
        "batch": SimpleNamespace(
            get_paginator=lambda _: Pages("jobSummaryList", jobs),
            describe_jobs=lambda jobs: {"jobs": [by_id[each] for each in jobs]},
        ),
        "s3": SimpleNamespace(
            list_objects_v2=lambda **asked: {
                "Contents": [{"Key": key, "Size": 7} for key in sorted(written) if key.startswith(asked["Prefix"])][:1]
            }
        ),
    }
    by_id = {job["jobId"]: job for job in jobs}
    return SimpleNamespace(client=clients.__getitem__)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def execution(name: str, status: str, minutes: int) -> dict:
    return {
        "PipelineExecutionArn": f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/p/execution/{name}",
        "PipelineExecutionStatus": status,
        "StartTime": NOW + timedelta(minutes=minutes),
    }


def job(number: int, status: str = "SUCCEEDED") -> dict:
    return {
        "jobId": f"id-{number}",
        "status": status,
        "jobDefinition": "arn:aws:batch:us-east-1:000000000000:job-definition/copy:1",
        "parameters": {"s3Output": f"s3://bucket/out/{number}"},
    }


def facts(executions, jobs, written, since=NOW):
    return report.execution_facts(session(executions, jobs, written), CONFIG, since)


def test_a_good_execution_is_reported_with_its_jobs_and_objects():
    lines, good = facts([execution("a", "Succeeded", 1)], [job(1), job(2)], {"out/1", "out/2"})
    assert good
    assert [re.sub(" +", " ", line).strip() for line in lines] == [
        "pipeline Succeeded",
        "jobs 2: 2 SUCCEEDED",
        "2 copy",
        "outputs 2 of 2 objects, 14 bytes",
    ]


def test_an_earlier_runs_execution_is_not_taken_for_this_ones():
    lines, good = facts([execution("old", "Succeeded", -1), execution("new", "Failed", 1)], [job(1)], {"out/1"})
    assert not good
    assert lines[0] == "pipeline   Failed"
    assert facts([execution("old", "Succeeded", -1)], [], set()) == (["pipeline   no execution found"], False)


def test_without_a_start_the_last_execution_that_succeeded_is_looked_at():
    executions = [execution("failed", "Failed", 2), execution("good", "Succeeded", 1)]  # newest first
    lines, good = facts(executions, [job(1)], {"out/1"}, since=None)
    assert good and lines[0] == "pipeline   Succeeded"


@pytest.mark.parametrize(
    ("jobs", "written", "line"),
    [
        ([job(1), job(2, "FAILED")], {"out/1", "out/2"}, "jobs       2: 1 FAILED, 1 SUCCEEDED"),
        ([job(1), job(2)], {"out/1", "out/20"}, "outputs    1 of 2 objects, 7 bytes"),
        ([], set(), "outputs    0 of 0 objects, 0 bytes"),
    ],
)
def test_what_is_missing_is_reported_and_is_not_good(jobs, written, line):
    lines, good = facts([execution("a", "Succeeded", 1)], jobs, written)
    assert line in lines and not good
