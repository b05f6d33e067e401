"""Where the subject is: given, found by its motion, or by Grounding DINO."""
