"""Dataset management at object-storage scale, on Dask."""

__version__ = "0.1.0.dev0"
