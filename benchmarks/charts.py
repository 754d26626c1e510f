"""Charts as plain SVG: horizontal bars in panels, readable on light and dark pages and without seeing them."""

from __future__ import annotations

from html import escape

from benchmarks.results import Bar, Chart, Panel

WIDTH = 860
_MARGIN = 24
_GAP = 28
_ROW = 22
_BAR = 14
_LETTER = 7.0
"""Room for a letter of 12 pixels, on average and a little more: the text must not need measuring."""
_PANEL_HEAD = 30
_PANEL_GAP = 22

_STYLE = """
  .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e }
  .ours { fill: #0a7d50 } .other { fill: #8d7a2f } .plain { fill: #8b98a5 }
  .axis { stroke: #c4ccd4; stroke-width: 1 } .mark { stroke: #b3261e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .marked { fill: #b3261e }
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 12px }
  .title { font-size: 16px; font-weight: 600 } .head { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .text { fill: #e6edf3 } .soft { fill: #9aa4af }
    .ours { fill: #3fb984 } .other { fill: #c9b458 } .plain { fill: #66717d }
    .axis { stroke: #3d444d } .mark { stroke: #ff8a80 } .marked { fill: #ff8a80 }
  }
"""


def svg(chart: Chart) -> str:
    """The chart as a document of its own."""
    columns = max(1, chart.columns)
    width = (WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    rows = [chart.panels[start : start + columns] for start in range(0, len(chart.panels), columns)]
    top = 58.0
    drawn = []
    for row in rows:
        for column, panel in enumerate(row):
            drawn.append(_panel(panel, left=_MARGIN + column * (width + _GAP), top=top, width=width))
        top += max(_height(panel) for panel in row) + _PANEL_GAP
    height = round(top)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
            ' role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(chart.title)}</title>',
            f'<desc id="description">{escape(chart.description)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
            f'<text class="text title" x="{_MARGIN}" y="34">{escape(chart.title)}</text>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _height(panel: Panel) -> float:
    return _PANEL_HEAD + _ROW * len(panel.bars) + (16 if panel.mark is not None else 0)


def _panel(panel: Panel, *, left: float, top: float, width: float) -> str:
    label_width = max(len(bar.label) for bar in panel.bars) * _LETTER + 8
    # Figures stand in a column of their own: where they followed their bars, the mark would cross them.
    room = width - label_width - max(len(bar.text) for bar in panel.bars) * _LETTER - 8
    most = max([bar.value for bar in panel.bars] + [panel.mark or 0]) or 1
    zero = left + label_width
    first = top + _PANEL_HEAD
    bottom = first + _ROW * len(panel.bars)
    lines = [f'<text class="text head" x="{left:.1f}" y="{top + 14:.1f}">{escape(panel.title)}</text>']
    lines.append(f'<path class="axis" d="M{zero:.1f} {first - 3:.1f}V{bottom:.1f}"/>')
    for place, bar in enumerate(panel.bars):
        lines += _bar(bar, y=first + place * _ROW, zero=zero, length=bar.value / most * room, right=left + width)
    if panel.mark is not None:
        at = zero + panel.mark / most * room
        lines.append(f'<path class="mark" d="M{at:.1f} {first - 3:.1f}V{bottom + 2:.1f}"/>')
        lines.append(
            f'<text class="marked" text-anchor="middle" x="{at:.1f}" y="{bottom + 14:.1f}">'
            f"{escape(panel.mark_text)}</text>"
        )
    return "\n".join(lines)


def _bar(bar: Bar, *, y: float, zero: float, length: float, right: float) -> list[str]:
    base = y + _BAR - 3
    return [
        f'<text class="text" text-anchor="end" x="{zero - 8:.1f}" y="{base:.1f}">{escape(bar.label)}</text>',
        f'<rect class="{bar.kind}" x="{zero:.1f}" y="{y:.1f}" width="{max(length, 1):.1f}" height="{_BAR}" rx="2"/>',
        f'<text class="soft" text-anchor="end" x="{right:.1f}" y="{base:.1f}">{escape(bar.text)}</text>',
    ]
