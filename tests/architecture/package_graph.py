"""The graph that the tests of the architecture read: every import between two modules of the package."""

from __future__ import annotations

import functools
from collections.abc import Container

import grimp

PACKAGE = "usrn_keras"


@functools.cache
def imports() -> dict[str, set[str]]:
    """The modules that each module imports, those for type checkers and those inside functions included."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}


def short(module: str) -> str:
    """A module as it is called within the package, such as `data.masks`."""
    return module.removeprefix(f"{PACKAGE}.")


def part(module: str) -> str:
    """The folder or file at the top of the package that a module belongs to; empty for the package's face."""
    return module.removeprefix(PACKAGE).removeprefix(".").partition(".")[0]


def circles(without: Container[tuple[str, str]] = ()) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others (strongly connected components).

    Args:
        without: Pairs of importing and imported module, named from the package on, that are left out.
    """
    graph = {
        module: [i for i in sorted(found) if (short(module), short(i)) not in without]
        for module, found in imports().items()
    }
    found, index, low, path = [], {}, {}, []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        path.append(module)
        for imported in graph[module]:
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in path:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            group = path[path.index(module) :]
            del path[path.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found
