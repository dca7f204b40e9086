"""Do the maps mean something? Deletion, randomised weights, and lesions whose place is known."""
