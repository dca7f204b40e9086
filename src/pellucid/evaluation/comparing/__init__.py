"""Several models on the same patients: paired differences, their tests, and what follows."""
