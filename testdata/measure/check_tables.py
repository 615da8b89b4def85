#!/usr/bin/env python3
"""Opens the tables of `stainfree measure` as their users do and compares the formats.

usage: check_tables.py TABLE.csv TABLE.parquet        (needs pandas, pyarrow, polars)

Both must be of the same run. Run by hand.
"""
import sys

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

csv, parquet = pd.read_csv(sys.argv[1]), pd.read_parquet(sys.argv[2])
assert list(csv.columns) == list(parquet.columns), "columns"
for name in csv.columns:
    a, b = csv[name], parquet[name]
    if a.isna().all() and b.isna().all():
        continue  # CSV does not say of what type an empty column is.
    if pd.api.types.is_numeric_dtype(b):
        pd.testing.assert_series_equal(a.astype(float), b.astype(float), rtol=0, atol=0)
    else:
        assert (a.fillna("") == b.fillna("")).all(), name
other = pl.read_parquet(sys.argv[2])
assert other.shape == parquet.shape and other.columns == list(parquet.columns)
assert all((other[c].to_pandas().fillna(-1) == parquet[c].fillna(-1)).all() for c in other.columns if other[c].dtype.is_numeric())
facts = pq.read_schema(sys.argv[2]).metadata
print(len(csv), "rows,", len(csv.columns), "columns;", parquet.dtypes.value_counts().to_dict(), {k: v for k, v in facts.items()})
print(pq.ParquetFile(sys.argv[2]).metadata)
