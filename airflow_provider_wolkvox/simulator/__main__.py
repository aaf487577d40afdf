"""`python -m airflow_provider_wolkvox.simulator`: the same as the `simulate` command."""

import sys

from airflow_provider_wolkvox.simulator.command import main

if __name__ == "__main__":
    sys.exit(main())
