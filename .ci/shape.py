"""Fail when product code is too long to be read in one sitting, or imports in a circle; part of `make lint`.

A file has at most 400 lines, a module of a Lambda function 200. A function has at most 60 lines below its signature and
docstring, which the limit would otherwise shorten first.

python .ci/shape.py [folder]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE, LAMBDA_MODULE, FUNCTION = 400, 200, 60
PRODUCT = ("utils", "local_aws", "lambda_code", "job_code")


def too_long(root: Path, path: Path) -> Iterator[str]:
    """What is wrong with one file's lengths."""
    text, name = path.read_text(), path.relative_to(root)
    lines, limit = text.count("\n"), LAMBDA_MODULE if name.parts[0] == "lambda_code" else FILE
    if lines > limit:
        yield f"{name} has {lines} lines, over {limit}. Split it by concept."
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if length > FUNCTION:
                yield f"{name}: {node.name} has {length} lines, over {FUNCTION}. Give its parts names."


def imports(root: Path, path: Path, modules: set[str]) -> set[str]:
    """The modules of this repository that a module imports when it runs, anywhere in it, by their dotted names."""
    package = path.relative_to(root).parent.parts
    targets: set[str] = set()
    tree = ast.parse(path.read_text())
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    never_run = {id(node) for block in for_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in never_run:
            continue
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # A name is a module of its own, or one of what its package offers.
            targets |= {
                f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in modules else origin for alias in node.names
            }
    return targets & modules


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in turn, the first one again at the end; empty without a circle."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for target in sorted(graph[module]):
                if way := visit(target, [*path, module]):
                    return way
            done.add(module)
        return []

    return next((way for module in sorted(graph) if (way := visit(module, []))), [])


def problems(root: Path) -> list[str]:
    """What is wrong with the product code below `root`."""
    files = [path for folder in PRODUCT for path in sorted((root / folder).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in files}
    modules = set(names.values())
    graph = {names[path]: imports(root, path, modules) - {names[path]} for path in files}
    way = circle(graph)
    circles = (
        [f"An import circle: {' imports '.join(way)}. Move what both need into a module below them."] if way else []
    )
    return [line for path in files for line in too_long(root, path)] + circles


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parent.parent)
    print(*(wrong or ["No product file or function is too long, and none import in a circle."]), sep="\n")
    sys.exit(bool(wrong))
