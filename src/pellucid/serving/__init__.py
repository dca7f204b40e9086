"""A model as a service: files in, answers out, with what speaks against them.

    settings.py   what is bounded, and by how much
    models.py     the models that are served, each with its thresholds
    desk.py       what the routes share: models, threads, how many images are at work
    batching.py   images that wait are computed together
    uploads.py    a request's body becomes files in memory, within bounds
    answers.py    logits → what is said of an image: decision, sets, abstention and its reason
    heat.py       where an image speaks for a class, as a picture
    gate.py       who may ask, how much may be sent, what is logged
    meters.py     counters and times, as Prometheus reads them
    api.py        the routes
    server.py     listening until told to stop

Stands on the bundle; neither the training code nor torch is needed. Nothing of a request is written
to a disk or named in a log.
"""
