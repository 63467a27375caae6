"""Metrics of several servers as one text: each sample says which server it is of. It knows Prometheus' text format and no meaning
of any metric.
"""

from __future__ import annotations

from collections.abc import Mapping

LABEL = "server"


def merged(texts: Mapping[str, str]) -> str:
    """The texts by server. The samples of a metric stand together, described once, as the format wants it."""
    described: dict[tuple[str, ...], None] = {}
    families: dict[str, list[str]] = {"": []}
    for server, text in texts.items():
        family = families[""]
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                what = tuple(line.split()[1:3])
                family = families.setdefault(what[-1], [])
                if what not in described:
                    described[what] = None
                    family.append(line)
            elif line.strip() and not line.startswith("#"):
                family.append(_labelled(line, server))
    return "".join(f"{line}\n" for family in families.values() for line in family)


def _labelled(sample: str, server: str) -> str:
    escaped = server.replace("\\", r"\\").replace('"', r"\"")
    label = f'{LABEL}="{escaped}"'
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
    name, _, rest = sample.partition(" ")
    return f"{name}{{{label}}} {rest}"
