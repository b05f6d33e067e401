"""Machinery that joins the concepts: editing and evaluation."""
