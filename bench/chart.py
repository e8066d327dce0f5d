#!/usr/bin/python3
"""Draws the pictures of a benchmark run from the JSON that bench/echo writes: one SVG each, and a PNG beside it when
rsvg-convert is installed. Only the standard library is used, and nothing is measured or averaged here.

    bench/chart.py results.json --out docs/images

  cpu         CPU time of the server for each message, TCP and TLS, at a few sizes, with min-max whiskers
  latency     percentile curve at a fixed rate
  curve       CPU time for each message over the number of connections
  memory      resident memory of an idle connection, TCP and TLS
  handshakes  CPU time of a TLS handshake, full and resumed

and all that was measured: tcp_echo and tls_echo (messages a second), tcp_cpu and tls_cpu (CPU time for each message).
What was not measured has no picture.
"""

import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
from xml.sax.saxutils import escape

# Okabe and Ito's colours, which stay apart for colour-blind readers. The reference is grey, ours are the blues.
COLOURS = {
    "raw_epoll": "#6b7280",
    "raw_epoll_tuned": "#a3a9b4",
    "sluice": "#0057b7",
    "sluice_buffered": "#5aa9e6",
    "sluice_io_uring": "#003a7d",
    "raw_uring": "#4b5563",
    "asio": "#e69f00",
    "libuv": "#009e73",
    "libevent": "#cc79a7",
    "asyncio": "#b8a000",
    "uvloop": "#d55e00",
}
OTHER_COLOUR = "#000000"
OVERVIEW_SIZES = ("64 B", "1 KiB", "16 KiB", "256 KiB")
INK = "#1f2937"
FAINT = "#d1d5db"
FONT = "DejaVu Sans, Verdana, sans-serif"
PNG_WIDTH = 1600


class Svg:
    """Collects shapes; coordinates are pixels from the upper left corner."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.parts = []

    def rect(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
        )

    def path(self, points, colour):
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def text(self, x, y, text, size=12, anchor="start", colour=INK, bold=False, turn=0):
        weight = ' font-weight="bold"' if bold else ""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}{turned}>'
            f"{escape(text)}</text>"
        )

    def document(self):
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="{FONT}">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
        )


def colour_of(server):
    return COLOURS.get(server, OTHER_COLOUR)


def bytes_text(count):
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} B"


def short(value):
    """Three digits at most, so that it fits over a bar."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 100 * size else f"{value / size:.0f}{unit}"
    return f"{value:.3g}"


def nice_ceiling(value):
    """The next of 1, 2, 2.5, 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999)


def conditions(results, shown):
    machine = results["machine"]
    network = "own network namespace" if machine["own_namespace"] else "the machine's own network"
    return (
        f"{machine['cpu']}, Linux {machine['kernel']}, {network}, {machine['congestion_control']}; "
        f"{shown}"
    )


def header(svg, title, subtitle, results, shown):
    svg.text(24, 34, title, size=20, bold=True)
    svg.text(24, 56, subtitle, size=13)
    svg.text(24, 74, conditions(results, shown), size=11, colour="#4b5563")
    for number, label in enumerate(results["machine"]["labels"]):
        svg.text(24, 90 + 14 * number, f"Note: {label}", size=11, colour="#b91c1c")


def legend(svg, servers, y):
    x = 24
    for server in servers:
        svg.rect(x, y - 10, 12, 12, colour_of(server))
        svg.text(x + 17, y, server, size=12)
        x += 30 + 7.6 * len(server)


def whisker(svg, x, y_low, y_high):
    svg.line(x, y_low, x, y_high, INK, 1.2)
    svg.line(x - 3, y_low, x + 3, y_low, INK, 1.2)
    svg.line(x - 3, y_high, x + 3, y_high, INK, 1.2)


def bar_panel(svg, box, title, bars):
    """One group of bars with a scale of its own. `bars` is a list of (server, {"median", "min", "max"})."""
    x, y, width, height = box
    top = nice_ceiling(max(values["max"] for _, values in bars))
    bottom = y + height

    def height_of(value):
        return height * value / top

    svg.text(x + width / 2, y - 22, title, size=13, anchor="middle", bold=True)
    for step in range(5):
        value = top * step / 4
        level = bottom - height_of(value)
        svg.line(x, level, x + width, level, FAINT if step else INK)
        svg.text(x - 5, level + 4, short(value), size=10, anchor="end")
    slot = width / len(bars)
    for number, (server, values) in enumerate(bars):
        left = x + slot * (number + 0.12)
        middle = x + slot * (number + 0.5)
        svg.rect(left, bottom - height_of(values["median"]), slot * 0.76, height_of(values["median"]), colour_of(server))
        whisker(svg, middle, bottom - height_of(values["min"]), bottom - height_of(values["max"]))
        above = bottom - height_of(values["max"]) - 5
        svg.text(middle, above, short(values["median"]), size=9, anchor="middle")


def servers_in_order(rows):
    seen = list(dict.fromkeys(row["server"] for row in rows))
    return [name for name in COLOURS if name in seen] + [name for name in seen if name not in COLOURS]


def rounds_shown(rows, figure):
    """How many rounds the medians are of; TCP and TLS may differ."""
    counts = sorted({len(row[figure]["rounds"]) for row in rows})
    rounds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"median of {rounds} interleaved rounds, whiskers min to max"


def wrapped(cells):
    """Lines of at most four panels each."""
    items = list(cells.items())
    return [dict(items[begin : begin + 4]) for begin in range(0, len(items), 4)]


def draw_groups(results, lines, figure, title, subtitle):
    """`lines` are lines of panels; each maps a panel's title to its rows."""
    rows = [row for line in lines for group in line.values() for row in group]
    if not rows:
        return None
    columns = max(len(line) for line in lines)
    panel_width, panel_height = 270, 190
    top = 150 + 14 * len(results["machine"]["labels"])
    svg = Svg(max(columns * (panel_width + 60) + 24, 900), top + len(lines) * (panel_height + 60))
    header(svg, title, subtitle, results, rounds_shown(rows, figure))
    legend(svg, servers_in_order(rows), top - 48)
    for line_number, line in enumerate(lines):
        for number, (name, group) in enumerate(line.items()):
            x = 70 + number * (panel_width + 60)
            y = top + line_number * (panel_height + 60)
            by_server = {row["server"]: row[figure] for row in group}
            bars = [(server, by_server[server]) for server in servers_in_order(group)]
            bar_panel(svg, (x, y, panel_width, panel_height), name, bars)
    return svg


def echo_cells(rows, connections, depths=(1,)):
    cells = {}
    for row in rows:
        wanted = row["connections"] == connections and row["depth"] in depths and row["threads"] == 1
        if wanted and "messages_per_second" in row:
            at_once = f"{row['depth']} x " if row["depth"] > 1 else ""
            group = cells.setdefault(at_once + bytes_text(row["message_bytes"]), [])
            # The threads section measures some cells again; the first measurement belongs to the grid.
            if "failure" not in row and all(other["server"] != row["server"] for other in group):
                group.append(row)
    return {name: group for name, group in cells.items() if group}


def several(count):
    return f"{count} connection{'s'[:count > 1]}"


def draw_echo(results, connections):
    subtitle = f"TCP over loopback, {several(connections)}, one loop on one core; higher is better"
    lines = wrapped(echo_cells(results["echo"], connections))
    return draw_groups(results, lines, "messages_per_second", "Echo: messages a second", subtitle)


def draw_tcp_cpu(results, connections):
    subtitle = f"TCP over loopback, CPU microseconds of the server, {several(connections)}; lower is better"
    lines = wrapped(echo_cells(results["echo"], connections))
    return draw_groups(results, lines, "cpu_us_per_message", "Echo: CPU time a message", subtitle)


def draw_cpu(results, connections):
    """The picture to show first: the same few sizes over TCP and over TLS."""
    lines = []
    for protocol, key in (("TCP", "echo"), ("TLS", "tls_echo")):
        cells = echo_cells(results.get(key, []), connections)
        chosen = {name: cells[name] for name in OVERVIEW_SIZES if name in cells} or cells
        lines += wrapped({f"{protocol}, {name}": group for name, group in chosen.items()})
    subtitle = f"CPU microseconds of the server, {several(connections)}, one loop on one core; lower is better"
    return draw_groups(results, lines, "cpu_us_per_message", "Echo: CPU time a message", subtitle)


def draw_tls(results, connections, figure, title, better):
    rows = results.get("tls_echo", [])
    lines = wrapped(echo_cells(rows, connections, {row["depth"] for row in rows}))
    subtitle = f"TLS 1.3, AES-128-GCM, over loopback, {several(connections)}, one loop on one core; {better} is better"
    return draw_groups(results, lines, figure, title, subtitle)


def draw_handshakes(results):
    cells = {}
    for row in results.get("handshakes", []):
        if "failure" not in row:
            cells.setdefault("resumed" if row["resumed"] else "full", []).append(row)
    title = "TLS 1.3 handshakes: CPU time of each"
    subtitle = "CPU microseconds of the server, ECDSA P-256, X25519, with connecting and closing; lower is better"
    return draw_groups(results, wrapped(cells), "cpu_us_per_handshake", title, subtitle)


def draw_memory(results):
    groups = {}
    for kind, key in (("TCP", "memory"), ("TLS", "tls_memory")):
        rows = [row for row in results.get(key, []) if "failure" not in row]
        if rows:
            groups[f"{kind}, {rows[0]['connections']:,} connections"] = rows
    if not groups:
        return None
    top = 120 + 14 * len(results["machine"]["labels"])
    svg = Svg(900, top + sum(50 + 34 * len(rows) for rows in groups.values()))
    subtitle = "resident pages of the server for each connection that has echoed one message; lower is better"
    header(svg, "Memory of an idle connection, KiB", subtitle, results, "median of fresh servers")
    for title, rows in groups.items():
        svg.text(24, top, title, size=13, bold=True)
        draw_memory_bars(svg, top + 14, rows)
        top += 50 + 34 * len(rows)
    return svg


def draw_memory_bars(svg, top, rows):
    """Each group with a scale of its own: a TLS connection holds many times what a TCP one does."""
    scale = 560 / max(row["kib_per_connection"]["max"] for row in rows)
    for number, row in enumerate(rows):
        values = row["kib_per_connection"]
        y = top + 34 * number
        # Pages freed meanwhile can make a small figure negative; a bar cannot be.
        length = max(values["median"], 0) * scale
        svg.text(165, y + 15, row["server"], size=13, anchor="end")
        svg.rect(175, y, max(length, 1), 22, colour_of(row["server"]))
        svg.text(175 + max(values["max"], 0) * scale + 8, y + 16, f"{values['median']:.2f}", size=12)


def draw_latency(results):
    rows = [row for row in results["latency"] if "failure" not in row]
    if not rows:
        return None
    top = 140 + 14 * len(results["machine"]["labels"])
    svg = Svg(1000, top + 400)
    shown = f"medians over {results['settings']['rounds']} interleaved rounds"
    rate = f"{rows[0]['rate_per_second']} messages a second on {rows[0]['connections']} connections"
    header(svg, "Echo: latency percentiles", f"64 B, {rate} by a timetable; lower is better", results, shown)
    legend(svg, servers_in_order(rows), top - 24)
    left, right, bottom = 80, 970, top + 340
    highest = max(point["us"] for row in rows for point in row["curve"])
    lowest = min(point["us"] for row in rows for point in row["curve"])
    decades = (math.floor(math.log10(lowest)), math.ceil(math.log10(highest)))
    last = max(point["percentile"] for row in rows for point in row["curve"])
    last_nines = -math.log10(1 - last / 100)

    def place(percentile, us):
        # As many units to the right as there are nines: 90 %, 99 %, 99.9 % ... lie equally far apart.
        nines = -math.log10(1 - percentile / 100)
        height = (math.log10(us) - decades[0]) / (decades[1] - decades[0])
        return left + (right - left) * nines / last_nines, bottom - (bottom - top) * height

    for decade in range(decades[0], decades[1] + 1):
        for factor in (1, 2, 5) if decade < decades[1] else (1,):
            _, y = place(0, factor * 10.0**decade)
            svg.line(left, y, right, y, FAINT)
            svg.text(left - 8, y + 4, f"{factor * 10**decade:g}", size=11, anchor="end")
    for percentile in (mark for mark in (0, 50, 90, 99, 99.9, 99.99, 99.999) if mark <= last):
        x, _ = place(percentile, 10.0 ** decades[0])
        svg.line(x, top, x, bottom, FAINT)
        svg.text(x, bottom + 18, f"{percentile:g} %", size=11, anchor="middle")
    svg.text(24, (top + bottom) / 2, "microseconds", size=12, anchor="middle", turn=-90)
    for row in rows:
        svg.path([place(point["percentile"], point["us"]) for point in row["curve"]], colour_of(row["server"]))
    return svg


def draw_curve(results):
    """CPU time of the smallest message over the number of connections."""
    rows = [
        row
        for row in results["echo"]
        if row["depth"] == 1 and row["threads"] == 1 and "failure" not in row and "cpu_us_per_message" in row
    ]
    size = min((row["message_bytes"] for row in rows), default=0)
    curves = {}
    for row in rows:
        if row["message_bytes"] == size:
            # As in echo_cells: the first measurement of a cell is the grid's.
            curves.setdefault(row["server"], {}).setdefault(row["connections"], row["cpu_us_per_message"])
    counts = sorted({count for curve in curves.values() for count in curve})
    if len(counts) < 2:
        return None
    top = 140 + 14 * len(results["machine"]["labels"])
    svg = Svg(1000, top + 400)
    subtitle = f"{bytes_text(size)} messages, CPU microseconds of the server; lower is better"
    rounds = results["settings"]["rounds"]
    shown = f"median of {rounds} interleaved rounds, whiskers min to max"
    header(svg, "Echo: CPU time a message over the number of connections", subtitle, results, shown)
    servers = servers_in_order([{"server": name} for name in curves])
    legend(svg, servers, top - 24)
    left, right, bottom = 80, 940, top + 340
    ceiling = nice_ceiling(max(values["max"] for curve in curves.values() for values in curve.values()))

    def place(position, us):
        return left + (right - left) * position / (len(counts) - 1), bottom - (bottom - top) * us / ceiling

    for step in range(5):
        _, y = place(0, ceiling * step / 4)
        svg.line(left, y, right, y, FAINT if step else INK)
        svg.text(left - 8, y + 4, short(ceiling * step / 4), size=11, anchor="end")
    for position, count in enumerate(counts):
        svg.text(place(position, 0)[0], bottom + 18, f"{count:,}", size=11, anchor="middle")
    svg.text((left + right) / 2, bottom + 40, "connections", size=12, anchor="middle")
    for name in servers:
        curve = curves[name]
        points = [(position, curve[count]) for position, count in enumerate(counts) if count in curve]
        svg.path([place(position, values["median"]) for position, values in points], colour_of(name))
        for position, values in points:
            whisker(svg, place(position, 0)[0], place(0, values["min"])[1], place(0, values["max"])[1])
    return svg


def write(svg, path, with_png):
    path.with_suffix(".svg").write_text(svg.document(), encoding="utf-8")
    print(f"wrote {path.with_suffix('.svg')}")
    if not with_png:
        return
    if shutil.which("rsvg-convert"):
        png = path.with_suffix(".png")
        command = ["rsvg-convert", "--width", str(PNG_WIDTH), "--output", str(png), str(path.with_suffix(".svg"))]
        subprocess.run(command, check=True, timeout=60)
        print(f"wrote {png}")
    else:
        print("no PNG: rsvg-convert is missing (Debian package librsvg2-bin)", file=sys.stderr)


def best_connections(rows):
    """50 where it was measured, as the figures in the documentation; otherwise the most that was."""
    measured = {row["connections"] for row in rows if "messages_per_second" in row}
    return 50 if 50 in measured else max(measured, default=0)


def main():
    parser = argparse.ArgumentParser(description="Draws the pictures of a benchmark run.")
    parser.add_argument("results", type=pathlib.Path, help="what bench/echo --json wrote")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="folder for the pictures")
    parser.add_argument("--only", help="names of pictures, separated by commas (default: all)")
    parser.add_argument("--no-png", action="store_true", help="SVG only")
    parser.add_argument("--connections", type=int, help="of the echo pictures (default: 50 if measured)")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    if results.get("schema") != 1:
        parser.error(f"{options.results}: expected schema 1, got {results.get('schema')}")
    options.out.mkdir(parents=True, exist_ok=True)
    connections = options.connections or best_connections(results["echo"] + results.get("tls_echo", []))
    pictures = {
        "cpu": draw_cpu(results, connections),
        "latency": draw_latency(results),
        "curve": draw_curve(results),
        "memory": draw_memory(results),
        "handshakes": draw_handshakes(results),
        "tcp_echo": draw_echo(results, connections),
        "tcp_cpu": draw_tcp_cpu(results, connections),
        "tls_echo": draw_tls(results, connections, "messages_per_second", "Echo over TLS: messages a second", "higher"),
        "tls_cpu": draw_tls(results, connections, "cpu_us_per_message", "Echo over TLS: CPU time a message", "lower"),
    }
    wanted = options.only.split(",") if options.only else list(pictures)
    for name in wanted:
        if name not in pictures:
            parser.error(f"--only: there is no picture '{name}'")
    for name in wanted:
        svg = pictures[name]
        if svg is None:
            print(f"no picture '{name}': it was not measured", file=sys.stderr)
        else:
            write(svg, options.out / name, not options.no_png)


if __name__ == "__main__":
    main()
