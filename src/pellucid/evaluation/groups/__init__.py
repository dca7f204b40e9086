"""Where it is worse: for whom, on which images, and when pictures get worse."""
