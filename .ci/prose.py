"""Count what makes English hard to read, and fail when a group of texts has more of it than its limit.

    .venv/bin/python .ci/prose.py              # part of `make lint`
    .venv/bin/python .ci/prose.py --files      # one line per file
    .venv/bin/python .ci/prose.py --worst 10   # and the longest sentences

A high count points at sentences to rewrite for the reader. GOALS are about the numbers of well-edited tutorials like
numpy's. No group's limits in GROUPS are above them. Lower a group's limits as its text gets better.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Counted per 1,000 words.
PATTERNS = {
    "semicolons": re.compile(r";"),
    "joining colons": re.compile(r":(?=\s+[a-z`*\"'(])"),  # not one that opens a list or a link
    "look": re.compile(r"\blook(?:s|ed|ing)?\b", re.IGNORECASE),
    "tell": re.compile(r"\b(?:tell|tells|told|telling)\b", re.IGNORECASE),
    "nobody": re.compile(r"\b(?:nobody|somebody|whoever|who may)\b", re.IGNORECASE),
    "of yours": re.compile(r"\bof (?:yours|ours|(?:its|their|your|our) own)\b", re.IGNORECASE),
}
LONG = "% over 30 words"
LONG_SENTENCE_WORDS = 30

GOALS = {
    "semicolons": 2, "joining colons": 12, "look": 1, "tell": 0.3, "nobody": 0.3, "of yours": 0, LONG: 2,
}  # fmt: skip


@dataclass
class Count:
    """What one text, or a group of texts, has."""

    words: int = 0
    hits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PATTERNS, 0))
    sentences: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, prose: str) -> Count:
        hits = {name: len(pattern.findall(prose)) for name, pattern in PATTERNS.items()}
        return cls(len(prose.split()), hits, split_sentences(prose))

    def add(self, other: Count) -> None:
        self.words += other.words
        self.sentences += other.sentences
        for name, hits in other.hits.items():
            self.hits[name] += hits

    def rates(self) -> dict[str, float]:
        per_thousand = {name: round(1000 * hits / max(self.words, 1), 1) for name, hits in self.hits.items()}
        long = sum(len(sentence.split()) > LONG_SENTENCE_WORDS for sentence in self.sentences)
        return per_thousand | {LONG: round(100 * long / max(len(self.sentences), 1), 1)}


def split_sentences(prose: str) -> list[str]:
    """The sentences of more than two words; a line break ends a sentence."""
    lines = (line.strip() for line in prose.splitlines())
    pieces = (piece for line in lines for piece in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9(\"'x])", line))
    return [piece for piece in pieces if len(piece.split()) > 2]


def markdown_prose(text: str) -> str:
    """Markdown without code, tables and links' addresses; each paragraph, heading and list item on one line."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1\s*$", "", text)
    text = re.sub(r"<[^>\n]+>", " ", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?m)^\[[^\]]+\]:.*$", "", text)  # where a link [text][name] leads
    text = re.sub(r"https?://\S+", "", text)
    lines = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("|", "---")) or line.startswith("    "):
            lines.append("\n")
        elif stripped.startswith("#"):
            lines.append(f"\n{stripped.lstrip('# ')}.\n")
        else:
            lines.append(re.sub(r"^([-*>]|\d+\.)\s+", "\n", stripped))
    return _plain(" ".join(lines))


def docstring_prose(text: str) -> str:
    """A docstring without code and addresses; each paragraph and each entry of Args on one line."""
    text = re.sub(r"https?://\S+", "", text)
    lines = []
    for line in text.splitlines():
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        if not stripped or re.fullmatch(r"(Args|Returns|Raises|Yields|Attributes|Example):", stripped):
            lines.append("\n")
        elif entry := re.match(r"[\w, *]+: ", stripped) if indent else None:
            lines.append("\n" + stripped[entry.end() :])
        else:
            lines.append(re.sub(r"^[-*]\s+", "\n", stripped))
    return _plain(" ".join(lines))


def _plain(text: str) -> str:
    text = re.sub(r"`[^`\n]*`", "x", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"\*+|_{2,}", "", text))


def document(path: Path) -> Count:
    return Count.of(markdown_prose(path.read_text()))


def notebook(path: Path) -> Count:
    cells = json.loads(path.read_text())["cells"]
    sources = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return Count.of("\n\n".join(markdown_prose(source) for source in sources))


def docstrings(path: Path) -> Count:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, nodes)]
    return Count.of("\n\n".join(docstring_prose(text) for text in texts if text))


def messages(path: Path) -> Count:
    """What a program's user reads when something is wrong: texts that are raised, that end it, or go to stderr."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and node.exc:
            texts += literals(node.exc)
        elif isinstance(node, ast.Call) and ends_or_warns(node):
            texts += literals(node)
        elif isinstance(node, ast.FunctionDef) and node.name.endswith("_reason"):  # a step's or a job's failure reason
            texts += [text for each in ast.walk(node) if isinstance(each, ast.Return) for text in literals(each)]
    return Count.of("\n".join(_plain(text) for text in texts if len(text.split()) > 2))  # others are codes and names


def ends_or_warns(call: ast.Call) -> bool:
    """Whether it is sys.exit, a parser's error, a refusal, a warning, or a print to stderr."""
    stream = next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "file"), None)
    name = ast.unparse(call.func)
    return name.endswith((".refuse", "parser.error")) or name in ("sys.exit", "warnings.warn") or stream == "sys.stderr"


def literals(node: ast.AST) -> Iterator[str]:
    """The texts under a node, each with an ellipsis for a value that is filled in.

    So a colon before a value, as in "not JSON: …", does not count as one that joins clauses.
    """
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from literals(child)


def makefile(path: Path) -> Count:
    """What make prints: its help, where each line begins with a target, and its messages."""
    echoed = re.findall(r"""echo (?:"((?:[^"\\]|\\.)*)"|'([^']*)')""", path.read_text())
    errors = re.findall(r"\$\(error (.*)\)\)$", path.read_text(), re.MULTILINE)
    texts = [re.sub(r"^make [\w-]+ +", "", double or single) for double, single in echoed] + errors
    return Count.of("\n".join(_plain(re.sub(r"\$+[({][^)}]*[)}]|\$\$?\w", "x", text)) for text in texts))


def files(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from (path for path in sorted(ROOT.glob(pattern)) if ".ipynb_checkpoints" not in path.parts)


DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "deploy/README.md",
    "lambda_code/**/README.md",
    "local_aws/README.md",
)


def limits(*values: float) -> dict[str, float]:
    return dict(zip(GOALS, values, strict=True))


# Group of texts: its files, how they are read, and its limits, in the order of GOALS.
GROUPS = {
    "documents": (DOCUMENTS, document, limits(1, 5, 0.5, 0.3, 0.3, 0, 1)),
    "notebooks": (("notebooks/**/*.ipynb",), notebook, limits(1, 5, 0.5, 0.3, 0.3, 0, 1)),
    "docstrings of utils and lambda_code": (
        ("utils/**/*.py", "lambda_code/**/*.py"), docstrings, limits(0.5, 7, 0.3, 0.3, 0.3, 0, 1),
    ),
    "docstrings of job_code, deploy and docs": (
        ("job_code/**/*.py", "deploy/**/*.py", "docs/*.py"), docstrings, GOALS,
    ),
    "docstrings of local_aws": (("local_aws/**/*.py",), docstrings, limits(2, 8, 0.8, 0.3, 0.3, 0, 1)),
    "messages of utils, deploy and lambda_code": (
        ("utils/**/*.py", "deploy/**/*.py", "lambda_code/**/*.py"), messages, GOALS,
    ),
    "messages of local_aws": (("local_aws/**/*.py",), messages, GOALS),
    "Makefile's texts": (("Makefile",), makefile, GOALS),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", action="store_true", help="print the numbers of each file")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="print each group's N longest sentences")
    options = parser.parse_args()
    failed = False
    for group, (patterns, count_file, highest) in GROUPS.items():
        total = Count()
        for path in files(*patterns):
            count = count_file(path)
            total.add(count)
            if options.files and count.words:
                print(f"  {path.relative_to(ROOT)}: {count.words} words, {_rates(count)}")
        over = {name: rate for name, rate in total.rates().items() if rate > highest[name]}
        print(f"{group}: {total.words} words, {_rates(total)}")
        for name, rate in over.items():
            print(
                f"{group}: {name} is {rate}, over the limit of {highest[name]}. See `.ci/prose.py --files --worst 10`."
            )
        failed |= bool(over)
        for sentence in sorted(total.sentences, key=lambda text: -len(text.split()))[: options.worst]:
            print(f"  {len(sentence.split())} words: {sentence}")
    return int(failed)


def _rates(count: Count) -> str:
    return ", ".join(f"{name} {rate}" for name, rate in count.rates().items())


if __name__ == "__main__":
    sys.exit(main())
