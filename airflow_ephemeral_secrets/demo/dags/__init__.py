"""Examples made of stock operators, which know nothing of this package."""
