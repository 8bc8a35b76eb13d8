"""What stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in a document is made by a command."""


def fill(page: str, name: str, text: str, where: object) -> str:
    """The page with this text between the markers of a name.

    Raises:
        SystemExit: there is not exactly one pair of them.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise SystemExit(f"{where}: no pair of markers {name!r}")
    if begin in after:
        raise SystemExit(f"{where}: more than one pair of markers {name!r}")
    return f"{before}{begin}{text.strip()}\n{end}{after}"
