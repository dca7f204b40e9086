"""How good predictions are, and how sure that is.

    predictions    the table of predictions: built, read, checked;  external  one of other patients
    judged         the labelled rows of one target and split, as arrays
    measures/      metrics of counts, ranks and probabilities; averages; patients for images
    uncertainty/   every metric with its interval, and by which method
    probabilities/ calibration, scaling, prediction sets, abstention
    decisions/     thresholds chosen on validation, curves over all thresholds, decision curves
    groups/        subgroups, failures, robustness
    comparing/     several models on the same patients
    block          everything of one target and split;  document  all of it as `evaluation.json`

Nothing here needs torch, images or datasets: the predictions table alone is judged.
"""
