#!/usr/bin/env python3
"""Computes the monthly reports from the archive, independently of the bundle.

Exact arithmetic on decimal fractions throughout, rounded once at the end, halves away from zero.
Writes monthly.json beside itself; run it again after a change of the archive.
"""

import csv
import json
from collections import Counter, defaultdict
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).parent
INCH_IN_MM = Fraction("25.4")
KMH_IN_MS = Fraction("3.6")


def number(value: Fraction, places: int) -> float:
    scaled = Decimal(value.numerator * 10**places) / Decimal(value.denominator)
    # 28 digits of a quotient of small numbers: a tie is never made by the division itself.
    return float(scaled.quantize(Decimal(1), ROUND_HALF_UP).scaleb(-places))


def report(month: str, rows: list[dict[str, str]]) -> dict:
    column = lambda name: [Fraction(row[name]) for row in rows]
    rain, highs, lows, wind = map(column, ("precipitation", "temp_max", "temp_min", "wind"))
    middles = [(high + low) / 2 for high, low in zip(highs, lows, strict=True)]
    return {
        "month": month,
        "days": len(rows),
        "precipitation_mm": number(sum(rain), 1),
        "precipitation_in": number(sum(rain) / INCH_IN_MM, 2),
        "temp_max_c": number(max(highs), 1),
        "temp_min_c": number(min(lows), 1),
        "temp_mean_c": number(sum(middles) / len(rows), 2),
        "wind_mean_kmh": number(sum(wind) * KMH_IN_MS / len(rows), 2),
        "wind_max_kmh": number(max(wind) * KMH_IN_MS, 2),
        "weather": dict(sorted(Counter(row["weather"] for row in rows).items())),
    }


def main() -> None:
    months = defaultdict(list)
    with open(HERE.parent / "archive" / "seattle-weather.csv", newline="") as file:
        for row in csv.DictReader(file):
            months[row["date"][:7]].append(row)
    reports = {month: report(month, rows) for month, rows in sorted(months.items())}
    (HERE / "monthly.json").write_text(json.dumps(reports, indent=2) + "\n")


if __name__ == "__main__":
    main()
