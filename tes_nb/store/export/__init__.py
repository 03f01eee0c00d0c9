"""CSV files with a data package, and Parquet; `restore.py` reads the CSV files back."""
