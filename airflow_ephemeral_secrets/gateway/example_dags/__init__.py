"""A Dag for each of four gateways; ``airflow-ephemeral demo`` runs them at gateways on loopback."""
