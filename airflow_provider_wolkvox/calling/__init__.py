"""When and whom one may call: pure functions, no I/O, no Airflow. Time comes in as an argument."""
