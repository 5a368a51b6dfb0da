"""Version of the package, and of its numbers.

`NUMERICS` is raised whenever the same recipe, seed and backend give another result than before: another order
of floating-point sums, other random draws, a corrected formula. Every run records it, and a table never mixes
two.
"""

__version__ = "0.1.0"
NUMERICS = 2
