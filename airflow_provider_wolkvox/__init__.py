"""Apache Airflow provider for the wolkvox contact centre: callbacks that ring once."""

__version__ = "0.1.0"
