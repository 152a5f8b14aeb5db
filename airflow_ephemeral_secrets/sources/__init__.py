"""Sources: what mints. Each kind knows one provider, imports its SDK when it mints, and nothing else."""
