"""What is wrong with a dataset, before anybody trains on it: leakage, shortcuts and quality.

    audit.py           audit_dataset: every check, in order
    findings.py        what an audit says: level, sentence, rows, remedy

A check is a function from a dataset (and its decoded pictures) to findings. This room repairs
nothing and stops nothing; whoever calls it decides.
"""
