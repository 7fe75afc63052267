"""Columns as Docker lays them out: three blanks between, none narrower than ten. Hot path (ps)."""

_PADDING, _NARROWEST = 3, 10


def layout(lines: "list[str]") -> str:
    """Lines of tab-separated cells as columns. The last cell of a line is as wide as it is."""
    rows = [line.split("\t") for line in lines]
    widths: list[int] = []
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            if column == len(widths):
                widths.append(_NARROWEST)
            widths[column] = max(widths[column], len(cell) + _PADDING)
    return "".join(_line(row, widths) for row in rows)


def _line(row: "list[str]", widths: "list[int]") -> str:
    cells = [cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])]
    return "".join(cells) + row[-1] + "\n"
