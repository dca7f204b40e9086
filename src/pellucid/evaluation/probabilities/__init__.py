"""What probabilities are worth: calibration, scaling, sets with promised coverage, abstention."""
