"""Real series from Python packages, each with `rnnstep evaluate` and its default target transform.

    pip install numpy pandas statsmodels
    pip install --no-deps vega_datasets arch sktime pmdarima    # only their files are read
    cargo build --release
    python benches/real_series.py FOLDER [--cell lstm ...]

Writes the series to FOLDER as CSV and prints, for each, the error of the model one step ahead as a multiple of that of
the best other forecast: the naive ones and the linear autoregression. Further options go to `rnnstep evaluate`. The
first 23 series were looked at while the default was made, the others were not.
"""

import ast
import csv
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import statsmodels.api as sm

PROGRAM = Path(__file__).resolve().parent.parent / "target" / "release" / "rnnstep"


def file_of(package, path):
    """A file of a package, which need not be importable."""
    return Path(importlib.util.find_spec(package).submodule_search_locations[0]) / path


def month(column, form="%Y-%m-%d"):
    return pd.to_datetime(column, format="mixed").dt.strftime(form)


def seen():
    data = sm.datasets
    weekly = data.co2.load_pandas().data["co2"].interpolate()
    monthly = weekly.resample("MS").mean()
    yield "co2_weekly", weekly.values, weekly.index.strftime("%Y-%m-%d")
    yield "co2_monthly", monthly.values, monthly.index.strftime("%Y-%m-%d")
    from statsmodels.datasets import elec_equip

    equipment = elec_equip.load().data
    yield "elec_equip", equipment.iloc[:, 0], equipment.index.strftime("%Y-%m-%d")
    sea = data.elnino.load_pandas().data.iloc[:, 1:].values.ravel()
    yield "sea_temp", sea, pd.period_range("1950-01", periods=len(sea), freq="M")
    nile, sunspots = data.nile.load_pandas().data, data.sunspots.load_pandas().data
    yield "nile", nile["volume"], nile["year"].astype(int)
    yield "sunspots", sunspots["SUNACTIVITY"], sunspots["YEAR"].astype(int)
    economy = data.macrodata.load_pandas().data
    for name in ["cpi", "realgdp", "m1", "infl"]:
        yield name, economy[name], pd.period_range("1959Q1", periods=len(economy), freq="Q")
    stocks = pd.read_csv(file_of("vega_datasets", "_data/stocks.csv"))
    stocks["date"] = pd.to_datetime(stocks["date"], format="mixed")
    for name, rows in stocks.groupby("symbol"):
        rows = rows.sort_values("date")
        yield name.lower(), rows["price"], rows["date"].dt.strftime("%Y-%m-%d")
    jobs = pd.read_csv(file_of("vega_datasets", "_data/us-employment.csv"))
    yield "employment", jobs["nonfarm"], jobs["month"]
    seattle = pd.read_csv(file_of("vega_datasets", "_data/seattle-weather.csv"))
    yield "seattle_temp_max", seattle["temp_max"], seattle["date"]
    yield "seattle_wind", seattle["wind"], seattle["date"]
    yield hourly("seattle")
    for name, column in [("nasdaq", "Adj Close"), ("sp500", "Adj Close"), ("wti", "DCOILWTICO")]:
        yield of_arch(name, column)
    airline = pd.read_csv(file_of("sktime", "datasets/data/Airline/Airline.csv"))
    yield "airline", airline.iloc[:, 1], airline.iloc[:, 0]


def unseen():
    economy = sm.datasets.macrodata.load_pandas().data
    for name in ["unemp", "tbilrate", "realinv", "realint"]:
        yield name, economy[name], pd.period_range("1959Q1", periods=len(economy), freq="Q")
    jobs = pd.read_csv(file_of("vega_datasets", "_data/us-employment.csv"))
    yield "construction", jobs["construction"], jobs["month"]
    yield hourly("sf")
    for name in ["vix", "crude", "core_cpi"]:
        yield of_arch(name, None)
    folder = file_of("sktime", "datasets/data")
    for name, path, column in [
        ("lynx", "Lynx/Lynx.csv", "0"),
        ("shampoo", "ShampooSales/ShampooSales.csv", "Sales"),
        ("pbs", "PBS_dataset/PBS_dataset.csv", "Scripts"),
        ("seatbelts", "seatbelts/seatbelts.csv", "KSI"),
        ("solar", "solar/solar.csv", "solar_gen"),
        ("us_consumption", "Uschange/Uschange.csv", "Consumption"),
        ("us_production", "Uschange/Uschange.csv", "Production"),
        ("ecg", "mitdb/mitdb.csv", "data"),
    ]:
        yield name, pd.read_csv(folder / path)[column], None
    for name in ["ausbeer", "austres", "heartrate", "taylor", "wineind", "woolyrnq"]:
        tree = ast.parse(file_of("pmdarima", f"datasets/{name}.py").read_text())
        lists = [node for node in ast.walk(tree) if isinstance(node, ast.List) and len(node.elts) > 20]
        yield name, [value for value in ast.literal_eval(lists[0]) if value is not None], None


def hourly(city):
    rows = pd.read_csv(file_of("vega_datasets", f"_data/{city}-temps.csv"))
    return f"{city}_temps_hourly", rows["temp"], pd.to_datetime(rows["date"]).dt.strftime("%Y-%m-%d %H:%M")


def of_arch(name, column):
    rows = pd.read_csv(file_of("arch", f"data/{name}/{name.replace('_', '-')}.csv.gz"))
    column = column if column in rows else rows.columns[-1]
    rows = rows.dropna(subset=[column])
    return name, pd.to_numeric(rows[column], errors="coerce"), rows[rows.columns[0]]


def write(folder, name, values, times):
    table = pd.DataFrame({"value": pd.Series(list(values), dtype=float)})
    if times is not None:
        table.insert(0, "date", [str(time) for time in times])
    path = folder / f"{name}.csv"
    table.dropna().iloc[-8000:].to_csv(path, index=False)
    return path


def main():
    folder, options = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    for title, all_series in [("seen", seen()), ("not seen", unseen())]:
        print(f"| {title} | rows | target as | ratio | best of the others | verdict |\n|---|---|---|---|---|---|")
        ratios = []
        for name, values, times in all_series:
            path, scores = write(folder, name, values, times), folder / "scores.csv"
            command = [PROGRAM, "evaluate", path, "--column", "value", "--out", scores, *options]
            said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode != 0:
                print(f"| {name} | | | | | {said.stderr.strip().splitlines()[-1]} |")
                continue
            errors = {row["forecast"]: float(row["rmse"]) for row in csv.DictReader(scores.open()) if row["ahead"] == "1"}
            model = errors.pop("model")
            best = min(errors, key=errors.get)
            ratios.append(model / errors[best])
            lines = said.stdout.splitlines()
            target = next(line for line in lines if "target as " in line).split("target as ")[1].rsplit(", on ", 1)[0]
            verdict = next(line for line in lines if line.startswith("value: ")).removeprefix("value: ")
            learned = " (constant)" if "nothing was learned" in said.stdout else ""
            rows = len(pd.read_csv(path))
            print(f"| {name} | {rows} | {target}{learned} | {ratios[-1]:.3f} | {best} | {verdict.split(':')[0]} |")
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\n{sum(ratio <= 1.05 for ratio in ratios)} of {len(ratios)} at most 1.05; geometric mean {mean:.3f}\n")


if __name__ == "__main__":
    main()
