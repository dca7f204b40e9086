"""From probabilities to decisions: thresholds, curves over them, and what acting is worth."""
