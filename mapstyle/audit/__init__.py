"""Audit: evidence in finished pictures becomes findings."""
