"""The embedded peers, the example Dags and the proofs behind ``airflow-ephemeral demo``."""
