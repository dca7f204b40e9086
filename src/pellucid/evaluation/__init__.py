"""How good predictions are, and how sure that is.

    predictions      the table of predictions: built, read, checked
    metrics          the lecture's metrics, from confusion matrices and from ranks
    intervals        resampling patients, all resamples of a metric at once
    operating_point  thresholds, chosen on validation
    calibration      whether probabilities mean what they say
    judged           the labelled rows of one target and split, as arrays
    figures          every metric with its interval
    document         all of it as `evaluation.json`

Nothing here needs torch, images or datasets: the predictions table alone is judged.
"""
