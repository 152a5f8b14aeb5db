"""The page in Airflow's own UI: who has what, and until when."""
