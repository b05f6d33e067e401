"""A plain low-rank adapter on the same linears, through peft: what the experts are compared with."""
