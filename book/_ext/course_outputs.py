"""Printed outputs on a phone: the same text in lines of PHONE letters. A table of numbers is cut between its columns,
and each part keeps the names of the rows; any other line goes on below, further in."""

import html
import itertools
import re
import textwrap
import unicodedata
from functools import partial

PHONE = 46  # letters in a line of a phone; the size of the letters follows from it, see site.css
OUTPUT = re.compile(r'(<div class="output [^"]*\bhighlight-[^"]*"><div class="highlight">)<pre>(.*?)</pre>', flags=re.S)
NUMBER = re.compile(r"(?=.*\d)(?:[\d\s.,;:%()\[\]+−±≈<>≤×e/·∞*…-]|and|to)+|True|False|None")
PLAIN = re.compile(r"[\d.,]+")
TIED = re.compile(
    r"(?<=[=≈±<>]) (?=\S)|(?<=log) (?=\S)|(?<= [−+]) |"  # after a sign
    r"(?<=[^\s,;:]) (?=[=≈±<>]|[−+] |nats|floors|%)|(?<=[=≈±]) +(?=[\d+−-])"  # before one, or a unit
)
WRAP = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)
IN_BRACKETS = re.compile(r"\([^()\s]{1,6}[,;] [^()\s]{1,6}\)")


def width(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)


def tied(line: str) -> str:
    """With blanks that part nothing between a sign or a unit and its number, and in I(x₀; x_T)."""
    return TIED.sub(lambda m: "\u00a0" * len(m[0]), IN_BRACKETS.sub(lambda m: m[0].replace(" ", "\u00a0"), line))


def letters(text: str) -> list[str]:
    """The letters of a line with their combining marks, one for each place."""
    found: list[str] = []
    for letter in text:
        if unicodedata.combining(letter) and found:
            found[-1] += letter
        else:
            found.append(letter)
    return found


def places(rows: list[list[str]], apart: int = 2) -> list[tuple[int, int]]:
    """From where to where the columns of some rows reach: what is so many blanks apart in every row."""
    wide = max(map(len, rows))
    blank = [all(x >= len(row) or row[x] == " " for row in rows) for x in range(wide)] + [True] * apart
    found, start = [], None
    for x in range(wide + 1):
        if not blank[x] and start is None:
            start = x
        if start is not None and all(blank[x : x + apart]):
            found.append((start, x))
            start = None
    return found


def column(rows: list[list[str]], place: tuple[int, int]) -> list[str]:
    start, end = place
    return ["".join(row[start:end]) + " " * (end - max(start, min(end, len(row)))) for row in rows]


def is_numbers(cells: list[str]) -> bool:
    held = [cell.strip() for cell in cells if cell.strip()]
    return sum(bool(NUMBER.fullmatch(cell)) for cell in held) >= 0.7 * len(held) > 0


def is_row(line: str) -> bool:
    """Whether a line ends in three numbers or more."""
    return len(words := line.split(" ")) > 3 and all(map(NUMBER.fullmatch, [word for word in words if word][-3:]))


def in_order(cells: list[str]) -> bool:
    """Whether they are numbers that grow or fall, as steps 10, 30, 100, which can be titles."""
    values = [float(cell.replace(",", "")) for cell in cells if PLAIN.fullmatch(cell)]
    return len(values) == len(cells) and values in (sorted(set(values)), sorted(set(values), reverse=True))


def under(above: list[str], rows: list[list[str]], where: list[tuple[int, int]]) -> list[list[str]] | None:
    """The columns at these places with the titles in the line above them, each over its column, or over several, which
    become one. None if it is no line of titles."""
    spans = [match.span() for match in re.finditer("[^ ]+(?: [^ ]+)*", "".join(letter[0] for letter in above))]
    merged: list[tuple[int, tuple[int, int]]] = []  # which title, and where
    for start, end in where:
        over = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
        over = over or [i for i, (a, b) in enumerate(spans) if a < end + 2 and b > start - 2] or [-1]
        if len(over) > 1:
            return None
        if merged and over[0] == merged[-1][0] >= 0:
            start = merged.pop()[1][0]
        merged.append((over[0], (start, end)))
    titles = ["".join(above[slice(*span)]) for span in spans]
    if len(merged) < 3 or len(spans) < 2 or {i for i, _ in merged} - {-1} != {*range(len(spans))}:
        return None
    if any(map(NUMBER.fullmatch, titles)) and not in_order(titles[1:]):
        return None
    return [[titles[i] if i >= 0 else "", *column(rows, place)] for i, place in merged]


def titled(rows: list[list[str]], above: list[str], apart: int) -> list[list[str]] | None:
    """The columns of some rows, each with its title first: their first row, or the one above them, which need not be in
    line with them. None if neither can be one."""
    where = places(rows, apart)
    finer = [column(rows, place) for place in where]
    for k in range(len(where) - 1, 0, -1):  # numbers with titles may be one blank apart
        start, end = where[k]
        split = [(a + start, b + start) for a, b in places([row[start:end] for row in rows], apart=1)]
        cells = [column(rows, part) for part in split]
        if len(split) > 1 and all(one[0].strip() for one in cells):
            if all(NUMBER.fullmatch(cell.strip()) for one in cells for cell in one[1:]):
                where[k : k + 1], finer[k : k + 1] = split, cells
    first = [one[0].strip() for one in finer[1:]]
    if not any(map(NUMBER.fullmatch, first)):
        return finer
    if (found := under(above, rows, where)) is not None:
        return found
    return finer if in_order(first) else None


def table(lines: list[str], apart: int = 2) -> tuple[int, int, list[list[str]] | None]:
    """Where the largest table of some lines begins and ends, and its columns, None if these have no titles. (0, 0,
    None) if there is none: three rows or more, three columns or more, four cells of five filled, most columns after the
    first of numbers."""
    rows, best, most = [letters(line) for line in lines], None, 0
    for i, j in itertools.combinations(range(len(lines) + 1), 2):
        if j - i < 3 or not all(map(str.strip, lines[i:j])):
            continue
        found = [column(rows[i:j], place) for place in places(rows[i:j], apart)]
        filled = sum(bool(cell.strip()) for one in found for cell in one)
        numbers = [is_numbers(one[1:]) for one in found[1:]]
        enough = len(found) > 2 and filled >= 0.8 * len(found) * (j - i) and sum(numbers) > len(numbers) / 2
        if enough and filled > most:
            best, most = (i, j), filled
    if best is None:
        return 0, 0, None
    i, j = best
    found = titled(rows[i:j], rows[i - 1] if i else [], apart)
    return i - (found is not None and len(found[0]) > j - i), j, found


def as_block(cells: list[str], most: int) -> list[list[str]]:
    """A column as rows of lines, all of one width: numbers as they stand, names and titles in several lines if they are
    long."""
    title, *rest = cells
    margin = min(len(cell) - len(cell.lstrip(" ")) for cell in rest if cell.strip() or cell == rest[-1])
    rest = [cell[margin:].rstrip(" ") for cell in rest]
    inner = max(map(width, rest))
    rest = [cell + " " * (inner - width(cell)) for cell in rest]
    numbers = is_numbers(rest)
    wrapped = [WRAP(cell, most, subsequent_indent="  ") or [""] for cell in rest]
    rows = [[cell] for cell in rest] if numbers else wrapped
    inner = max(width(line) for row in rows for line in row)
    titles = WRAP(title, max(inner, 12, *(min(width(word), 22) for word in title.split()))) or [""]
    wide = max(inner, *map(width, titles))
    blank = lambda text: " " * (wide - width(text))  # noqa: E731
    return [[blank(line) + line if numbers else line + blank(line) for line in row] for row in [titles, *rows]]


def cut(found: list[list[str]]) -> list[str]:
    """A table in parts one below the other, each with the columns that name the rows, in as few lines as can be.
    Empty if a part is too wide."""
    tried = [parts(found, most) for most in (PHONE // 2, 18, 14)]
    return min((lines for lines in tried if max(map(width, lines)) <= PHONE), key=len, default=[])


def parts(found: list[list[str]], most: int) -> list[str]:
    blocks = [as_block(cells, most) for cells in found]
    wide = [width(block[0][0]) for block in blocks]
    names = 1
    while names < len(found) and not is_numbers(found[names][1:]) and sum(wide[: names + 1]) + 2 * names < 0.7 * PHONE:
        names += 1
    groups: list[list[int]] = []
    for k in range(names, len(found)):
        if groups and sum(wide[i] + 2 for i in [*range(names), *groups[-1], k]) - 2 <= PHONE:
            groups[-1].append(k)
        else:
            groups.append([k])
    lines = []
    for part in groups:
        for r in range(len(found[0])):
            row = [blocks[i][r] for i in [*range(names), *part]]
            high = max(map(len, row))
            pads = [[" " * width(cell[0])] * (high - len(cell)) for cell in row]  # above titles, below names
            row = [pad + cell if r == 0 else cell + pad for pad, cell in zip(pads, row, strict=True)]
            lines += ["  ".join(line).rstrip() for line in zip(*row, strict=True)]
        lines.append("")
    return lines[:-1]


def goes_on(line: str) -> list[str]:
    """A line in several, of which all but the first stand further in. It ends where it is parted already, by a comma or
    a wide blank, if that is in the latter half."""
    if width(line) > PHONE:
        line = re.sub("≈\u00a0+", "≈\u00a0", line)  # such a line is in no column
    inwards, done = (len(line) - len(line.lstrip(" "))) % 8 + 4, []
    while width(line) > PHONE:
        for pattern, least in ((r"(?<=[,;]) +| {2,}", PHONE / 2), (r" +", PHONE / 3), (r"[ \u00a0]+", inwards)):
            found = [m for m in re.finditer(pattern, line) if m.end() > least and width(line[: m.start()]) <= PHONE]
            if found and line[: found[-1].start()].strip():
                break
        else:
            break  # a word that is wider
        done.append(line[: found[-1].start()])
        line = " " * inwards + line[found[-1].end() :]
    return [*done, line]


def narrow(text: str) -> str:
    """The text in lines of at most PHONE letters."""
    if max(map(width, text.split("\n"))) <= PHONE:
        return text
    lines = [tied(line) for line in text.split("\n")]
    for apart in (2, 1):
        i, j, found = table(lines, apart)
        block = cut(found) if found else []
        beside = lines[max(i - 1, 0) : i] + lines[j : j + 1] if j else []
        if (block or (j - i <= 5 and apart == 2)) and not any(map(is_row, beside)):
            break
    else:  # a table that cannot be cut scrolls
        return text
    if not block:
        block, i, j = [part for line in lines for part in goes_on(line)], 0, len(lines)
    elif max(map(width, lines[i:j])) <= PHONE:
        block = lines[i:j]
    before, after = (narrow("\n".join(part)).split("\n") if part else [] for part in (lines[:i], lines[j:]))
    return "\n".join([*before, *block, *after]).replace("\u00a0", " ")


def dress_outputs(page: str) -> str:
    """Gives the wide outputs of a page their text for a phone."""

    def dress(match: re.Match) -> str:
        whole = html.unescape(re.sub("<[^>]*>", "", match[2]))
        small = narrow(whole)
        if small == whole:
            return match[0]
        small = html.escape(small, quote=False)
        return f'{match[1]}<pre class="whole">{match[2]}</pre><pre class="narrow">{small}</pre>'

    return OUTPUT.sub(dress, page)
