"""Hair and beards: growth rules, strands, ribbons."""
