"""What the doctor checks: one module per place where something may be wrong."""
