"""Shapes: how a credential becomes exactly the fields that a stock hook needs."""
