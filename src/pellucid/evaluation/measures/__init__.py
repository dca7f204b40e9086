"""What is measured: metrics of counts, ranks and probabilities, for many weightings at once."""
