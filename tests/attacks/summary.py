"""Counts of attacks that were tried, survived and lost, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Summary:
    """Outcomes of attacks by kind and backend."""

    tried: dict[tuple[str, str], int] = field(default_factory=dict)
    lost: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, kind: str, backend: str, case: str, problem: str) -> None:
        """Count an attack.

        Args:
            kind: What was attacked and how, such as `kill in 1-baseline`.
            backend: Backend of Keras.
            case: Description by which the attack can be repeated.
            problem: What was lost; "" if nothing was.
        """
        key = kind, backend
        self.tried[key] = self.tried.get(key, 0) + 1
        if problem:
            self.lost.setdefault(key, []).append(f"{case}: {problem}")

    def markdown(self) -> str:
        """The table in Markdown, with every loss below it."""
        lines = ["| attack | backend | tried | survived | lost |", "| :-- | :-- | --: | --: | --: |"]
        for (kind, backend), tried in self.tried.items():
            lost = len(self.lost.get((kind, backend), []))
            lines.append(f"| {kind} | {backend} | {tried} | {tried - lost} | {lost} |")
        all_tried, all_lost = sum(self.tried.values()), sum(map(len, self.lost.values()))
        lines.append(f"| all | | {all_tried} | {all_tried - all_lost} | {all_lost} |")
        lines += [
            f"\nLost, {kind}, {backend}: {case}"
            for (kind, backend), cases in self.lost.items()
            for case in cases
        ]
        return "\n".join(lines)
