"""How a report page looks: one column on a phone, two charts side by side on a desk, light and dark."""

from __future__ import annotations

# Figures stand on paper in both schemes: the colours of classes are fixed, and dark ones would be lost on a
# dark ground.
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --ink: #1c1e21; --pale: #5b6068; --line: #d9dce1; --panel: #f5f6f8; --accent: #0b5cad;
  --paper: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171a; --ink: #e8eaed; --pale: #a3a9b3; --line: #363b42; --panel: #1f2226;
    --accent: #7db8f5; --paper: #f1f1ef;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 76rem; overflow-wrap: break-word;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { margin: 0.5rem 0 0.25rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); font-size: 1.25rem; }
p { margin: 0.5rem 0; max-width: 46rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.subtitle, .caption, figcaption, dt { color: var(--pale); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 1rem 0; padding: 0; list-style: none; }
nav a { display: inline-block; padding: 0.25rem 0; }
.note { padding: 0.6rem 0.8rem; border-left: 4px solid var(--accent); background: var(--panel); }
.scroll { max-width: 100%; margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.95rem; }
.caption { margin: 1.25rem 0 -0.5rem; font-size: 0.92rem; }
th, td {
  padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
}
thead th {
  min-width: 4rem; border-bottom: 2px solid var(--pale); vertical-align: bottom; white-space: normal;
}
th:first-child {
  position: sticky; left: 0; min-width: 5.5rem; max-width: 11rem; background: var(--ground); text-align: left;
  white-space: normal;
}
tbody th { font-weight: 400; }
tbody.means :is(th, td) { font-weight: 600; }
tbody.means tr:first-child :is(th, td) { border-top: 2px solid var(--pale); }
.figures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem;
}
figure { margin: 0.5rem 0; min-width: 0; }
figure img {
  display: block; max-width: 100%; height: auto; padding: 0.25rem; border: 1px solid var(--line);
  border-radius: 4px; background: var(--paper);
}
figure img.drawing { width: 100%; }
figcaption { margin-top: 0.4rem; max-width: 46rem; font-size: 0.92rem; }
.pictures { margin: 1.25rem 0; }
.pictures h3 { margin: 0 0 0.25rem; font-size: 1rem; }
.pictures div {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(47%, 13rem), 1fr)); gap: 0.5rem;
}
.pictures figure { margin: 0; }
.pictures img { width: 100%; padding: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; margin: 0.75rem 0; padding: 0; list-style: none; }
.legend i {
  display: inline-block; width: 1em; height: 1em; margin-right: 0.4em; border: 1px solid var(--pale);
  vertical-align: -0.12em;
}
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.2rem 1rem; margin: 1rem 0; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
details { margin: 1rem 0; }
summary { cursor: pointer; padding: 0.25rem 0; }
pre { overflow-x: auto; padding: 0.75rem; background: var(--panel); font-size: 0.85rem; line-height: 1.4; }
@media (max-width: 30rem) {
  th, td { padding: 0.3rem 0.35rem; }
  table { font-size: 0.875rem; }
  th:first-child { padding-left: 0; max-width: 7.5rem; }
}
@media print { nav { display: none; } section, figure { break-inside: avoid; } }
"""
