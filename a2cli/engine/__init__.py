"""Machinery that joins the concepts: editing, training, evaluation."""
