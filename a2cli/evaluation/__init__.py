"""The evaluator: records, masks, methods, scores, judges and what is told of them (A2-Edit, section 5)."""
